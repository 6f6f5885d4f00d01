"""Figures for paper: names that can be read where dots are close."""

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from accel_models.pages import Chart, Frame
from accel_models.pages.figure import draw_chart

places = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=2, max_size=6, unique=True
)


@settings(max_examples=15)
@given(places)
def test_names_of_close_dots_stand_apart_and_inside(dots: list[tuple[int, int]]) -> None:
    corners = [(0.0, 0.0, ""), (1e3, 1e3, "")]  # so that the dots are some pixels from each other
    rows = [(x + 490.0, y + 490.0, f"network {x}, {y}") for x, y in dots]
    columns = [("x", "energy"), ("y", "accuracy"), ("name", "network")]
    frame = Frame.of(columns, [*corners, *rows])
    figure = draw_chart(Chart("c", "c", "points", frame, x="x", y="y", label="name"))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert len(boxes) == len(dots)
    for one, other in combinations(boxes, 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert axes.bbox.fully_containsx(box.x0)
        assert axes.bbox.fully_containsx(box.x1)
