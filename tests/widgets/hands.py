"""A reader's hands on a figure in a browser: mouse, finger and keys; and what the figure says."""

import re


def said(browser):
    return browser.ask("document.querySelector('[role=status]').textContent")


def numbers(text):
    """All numbers in a text; those below zero have a minus sign, not a hyphen."""
    return [float(n.replace("−", "-")) for n in re.findall(r"−?\d+(?:\.\d+)?", text)]


def attributes(browser, selector, *names):
    """Numbers that attributes of each element hold."""
    return browser.ask(
        f"[...document.querySelectorAll({selector!r})]"
        f".map(e => {list(names)}.map(name => +e.getAttribute(name)))"
    )


def corners(browser, selector):
    """The (x, y) along each path, which has straight lines; one that is in parts has several."""
    found = browser.ask(
        f"[...document.querySelectorAll({selector!r})].map(path => path.getAttribute('d')).join('')"
    )
    lines = [re.findall(r"-?[\d.]+", line) for line in found.split("M")[1:]]
    return [[*zip(map(float, line[::2]), map(float, line[1::2]), strict=True)] for line in lines]


def clicked(browser, selector):
    browser.ask(f"document.querySelector({selector!r}).click()")


def focus(browser, selector="[role=application]"):
    browser.ask(f"document.querySelector('{selector}').focus()")


def press(browser, *keys, modifiers=0):
    """Press and release keys, which go to what has the focus; with 1 Alt, 2 Ctrl, 4 Meta held."""
    for key in keys:
        for kind in ("keyDown", "keyUp"):
            browser.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, modifiers=modifiers
            )


def place(browser, drawing, x, y):
    """Where in the window the point (x, y) of a drawing's view box lies."""
    return browser.ask(
        f"""(() => {{
            const svg = document.querySelectorAll("svg[aria-hidden]")[{drawing}];
            const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
            return [box.left + ({x} - view.x) / view.width * box.width,
                    box.top + ({y} - view.y) / view.height * box.height];
        }})()"""
    )


def mouse(browser, kind, x, y, clicks=1):
    browser.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=clicks)


def click(browser, drawing, x, y, clicks=1):
    """Click so many times on a point of a drawing."""
    at = place(browser, drawing, x, y)
    for count in range(1, clicks + 1):
        mouse(browser, "mousePressed", *at, clicks=count)
        mouse(browser, "mouseReleased", *at, clicks=count)


def hover(browser, drawing, x, y):
    """Move the mouse to a point of a drawing, no button pressed."""
    x, y = place(browser, drawing, x, y)
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


def drag(browser, drawing, start, end):
    """Drag from one point of a drawing to another."""
    start, end = place(browser, drawing, *start), place(browser, drawing, *end)
    mouse(browser, "mousePressed", *start)
    for part in (0.5, 1):
        between = [a + part * (b - a) for a, b in zip(start, end, strict=True)]
        browser.send(
            "Input.dispatchMouseEvent",
            type="mouseMoved",
            button="left",
            buttons=1,
            **dict(zip("xy", between, strict=True)),
        )
    mouse(browser, "mouseReleased", *end)


def swipe(browser, drawing, *places):
    """Touch a drawing with a finger, slide it over the other places, and let go."""
    browser.send("Emulation.setTouchEmulationEnabled", enabled=True)
    for kind, at in zip(["touchStart", *["touchMove"] * len(places)], places, strict=False):
        x, y = place(browser, drawing, *at)
        browser.send("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
    browser.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    browser.send("Emulation.setTouchEmulationEnabled", enabled=False)


def tap(browser, drawing, x, y):
    """Touch a point of a drawing with a finger, and let go."""
    swipe(browser, drawing, (x, y))


def set_control(browser, name, position):
    """Move a slider or a menu to a position, as the browser does."""
    browser.ask(
        f"""(() => {{
            const control = document.querySelector("[data-control='{name}']");
            control.value = {position};
            control.dispatchEvent(new Event("input", {{ bubbles: true }}));
        }})()"""
    )
