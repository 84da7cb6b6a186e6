"""Trained models in forms that need no bakeoff: plain PyTorch, TorchScript, torch.export, ONNX, timm, torchvision."""
