"""Signing in, in a browser."""

from playwright.sync_api import Page, expect

from tests.people import PASSWORD, person


def test_somebody_signs_in_by_keyboard_and_comes_where_they_wanted(page: Page) -> None:
    person()
    page.goto("/registries/?q=lab")
    expect(page.get_by_label("Username")).to_be_focused()
    page.keyboard.type("viewer")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url("/registries/?q=lab")
    expect(page.get_by_role("heading", level=1)).to_have_text("Image repository management")


def test_password_managers_find_their_fields(page: Page) -> None:
    page.goto("/sign-in/")
    expect(page.get_by_label("Username")).to_have_attribute("autocomplete", "username")
    expect(page.get_by_label("Password")).to_have_attribute("autocomplete", "current-password")


def test_a_wrong_password_is_told_and_the_name_stays(page: Page) -> None:
    person()
    page.goto("/sign-in/")
    page.get_by_label("Username").fill("viewer")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("That did not work")
    expect(page.get_by_label("Username")).to_have_value("viewer")
    expect(page.get_by_label("Password")).to_have_value("")


def test_signing_out_ends_the_session(page: Page, administrator: object) -> None:
    page.goto("/registries/")
    page.get_by_role("button", name="Account").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url("/sign-in/")
    page.goto("/registries/")
    expect(page).to_have_url("/sign-in/?next=/registries/")
