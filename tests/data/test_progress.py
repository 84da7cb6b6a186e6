from __future__ import annotations

from bakeoff.data.progress import ReadingProgress, watch_reading


def test_progress_is_said_now_and_then_with_the_time_left() -> None:
    now, said = [0.0], list[str]()
    progress = ReadingProgress("photos: decoding", 10_000, 1_000, clock=lambda: now[0])
    with watch_reading(said.append):
        for second in range(1, 31):
            now[0] = float(second)
            progress.show(1_000 + 100 * second)
    assert said == [
        "photos: decoding: 1,500 of 10,000 images, 1:25 left",
        "photos: decoding: 2,500 of 10,000 images, 1:15 left",
        "photos: decoding: 3,500 of 10,000 images, 1:05 left",
    ]


def test_nobody_listens() -> None:
    ReadingProgress("x", 10, clock=iter([0.0, 100.0]).__next__).show(5)
