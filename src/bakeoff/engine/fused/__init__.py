"""Networks in torch: those of K members fused into one, and modules from outside."""
