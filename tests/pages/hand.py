"""Somebody who uses a page with the mouse alone, with the keyboard alone, or with a finger."""

from collections.abc import Sequence

from playwright.sync_api import CDPSession, Locator, Page, expect

MOST_TABS = 300
"""Presses of Tab, at most, until an element has the keyboard."""
NEARER = """one => {
    const now = document.activeElement;
    return now !== document.body && !!(one.compareDocumentPosition(now) & 4) ? "Shift+Tab" : "Tab";
}"""
"""The way from the element that has the keyboard to another one."""

MIDDLE = "place(everyImage().sort((a, b) => state.images.x[a] - state.images.x[b])[180])"
"""Where an image near the middle of the map is."""

STILL = """one => new Promise((done) => {
    one.scrollIntoView({ block: "center" });
    requestAnimationFrame(() => requestAnimationFrame(done));
})"""
"""Scroll to an element, and wait until cards on the way have their sizes."""

Points = Sequence[tuple[float, float]]


class Mouse:
    """A mouse on a wide screen. Words are typed in the field that was clicked."""

    size, touch = (1280, 900), False

    def __init__(self, page: Page) -> None:
        self.page = page

    def press(self, where: Locator) -> None:
        """Press a button or a tick, or go into a field."""
        where.click()

    def write(self, field: Locator, text: str) -> None:
        """Replace what is in a field."""
        self.press(field)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)

    def choose(self, field: Locator, option: str) -> None:
        """Choose an option by its label, or by what the label begins with."""
        labels = field.locator("option").all_text_contents()
        field.select_option(index=next(i for i, one in enumerate(labels) if one.startswith(option)))

    def tick(self, images: Locator, place: int) -> None:
        """Select one of the images of a list, or deselect it."""
        self.press(images.locator(".tick").nth(place))

    def tick_range(self, images: Locator, first: int, last: int) -> None:
        """Select images of a list, from one to another."""
        self.tick(images, first)
        images.locator(".tick").nth(last).click(modifiers=["Shift"])

    def open(self, images: Locator, place: int) -> None:
        """Open one of the images of a list."""
        self.press(images.get_by_role("option").nth(place))

    def draw(self, tool: str, corners: Points) -> list[int]:
        """Draw a box or a lasso around an image on the map; the images that it should select.

        `corners` are counted from the image.
        """
        choice = self.page.get_by_role("radio", name=tool)
        self.press(choice)
        expect(choice).to_be_checked()
        plane = self.page.locator("#map")
        plane.evaluate("one => one.scrollIntoView({ block: 'center' })")
        box = plane.bounding_box()
        assert box
        x, y = self.page.evaluate(MIDDLE)
        around = [[x + dx, y + dy] for dx, dy in corners]
        route = around[::2] if tool == "box" else around
        self.drag([(box["x"] + x, box["y"] + y) for x, y in route])
        return self.page.evaluate(
            "corners => everyImage().filter((id) => inside(place(id), corners))", around
        )

    def drag(self, points: Points) -> None:
        """Go through points of the screen with the button down."""
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        for x, y in points[1:]:
            self.page.mouse.move(x, y)
        self.page.mouse.up()


class Finger(Mouse):
    """A finger on a phone that is 390 pixels wide."""

    size, touch = (390, 844), True

    def press(self, where: Locator) -> None:
        where.evaluate(STILL)
        where.tap()

    def tick_range(self, images: Locator, first: int, last: int) -> None:
        self.tick(images, first)
        end = images.get_by_role("option").nth(last)
        box = end.bounding_box()
        assert box
        glass = self._glass
        self._touch(glass, "touchStart", (box["x"] + 30, box["y"] + 30))
        expect(end).to_have_attribute("aria-selected", "true")  # it is held until then
        self._touch(glass, "touchEnd")

    def drag(self, points: Points) -> None:
        glass = self._glass
        self._touch(glass, "touchStart", points[0])
        for point in points[1:]:
            self._touch(glass, "touchMove", point)
        self._touch(glass, "touchEnd")

    @property
    def _glass(self) -> CDPSession:
        return self.page.context.new_cdp_session(self.page)

    def _touch(self, glass: CDPSession, kind: str, *points: tuple[float, float]) -> None:
        where = [{"x": x, "y": y} for x, y in points]
        glass.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})


class Keyboard(Mouse):
    """A keyboard alone. It comes to an element as people do, with Tab."""

    def press(self, where: Locator) -> None:
        self.reach(where)
        self.page.keyboard.press("Space" if where.get_attribute("type") == "checkbox" else "Enter")

    def write(self, field: Locator, text: str) -> None:
        self.reach(field)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)

    def choose(self, field: Locator, option: str) -> None:
        self.reach(field)
        labels = field.locator("option").all_text_contents()
        self.page.keyboard.press("Home")
        for _ in range(next(i for i, one in enumerate(labels) if one.startswith(option))):
            self.page.keyboard.press("ArrowDown")

    def tick(self, images: Locator, place: int) -> None:
        self.walk(images, place)
        self.page.keyboard.press("Space")

    def tick_range(self, images: Locator, first: int, last: int) -> None:
        self.tick(images, first)
        for _ in range(last - first):
            self.page.keyboard.press("Shift+ArrowRight")

    def open(self, images: Locator, place: int) -> None:
        self.walk(images, place)
        self.page.keyboard.press("Enter")

    def draw(self, tool: str, corners: Points) -> list[int]:
        """Take what is in sight after a zoom for a box; go from image to image for a lasso."""
        self.reach(self.page.locator("#map"))
        keys = ["+", "+", "+", "Control+a"] if tool == "box" else ["ArrowRight", "Space"]
        for key in keys:
            self.page.keyboard.press(key)
        if tool == "box":
            return self.page.evaluate("inSight()")
        under = [self.page.evaluate("view.under")]
        for key in ("ArrowLeft", "ArrowUp", "ArrowRight"):
            self.page.keyboard.press(f"Shift+{key}")
            under.append(self.page.evaluate("view.under"))
        return sorted(set(under))

    def walk(self, images: Locator, place: int) -> None:
        """Go into a list, and with the arrow keys to one of its images."""
        self.reach(images.locator("[tabindex='0']"))
        now = "one => [...one.children].indexOf(document.activeElement)"
        steps = place - images.evaluate(now)
        for _ in range(abs(steps)):
            self.page.keyboard.press("ArrowRight" if steps > 0 else "ArrowLeft")

    def reach(self, where: Locator) -> None:
        """Press Tab, or Shift and Tab, until an element has the keyboard."""
        element = where.element_handle()
        assert element
        way = element.evaluate(NEARER)
        for _ in range(MOST_TABS):
            if element.evaluate("one => one === document.activeElement"):
                return
            self.page.keyboard.press(way)
        raise AssertionError(f"Tab does not lead to {where}")


HANDS = {"mouse": Mouse, "keyboard": Keyboard, "finger": Finger}
