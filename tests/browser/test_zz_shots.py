from tests.browser.test_analysis import *


def test_shots(page, analysis):
    page.set_viewport_size({"width":1440,"height":900})
    page.emulate_media(reduced_motion="reduce")
    for name,theme in (("endpoints","light"),("accuracy","light"),("agreement","dark"),("comparison","dark"),("cases","light")):
        page.goto(f"/analyses/{analysis.public_id}/{name}/")
        page.evaluate("t => document.querySelector(`[data-theme-choice='${t}']`).click()", theme)
        page.evaluate("document.querySelectorAll('img').forEach(i => i.loading='eager')")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=f"/tmp/fa/shot_{name}_{theme}.png", full_page=name in("endpoints","comparison"))
    page.set_viewport_size({"width":390,"height":844})
    page.goto(f"/analyses/{analysis.public_id}/accuracy/")
    page.evaluate("document.querySelector('[data-table=metrics_five]').scrollIntoView()")
    page.screenshot(path="/tmp/fa/shot_phone.png")
    page.goto(f"/studies/{analysis.study.public_id}/analyses/")
    page.screenshot(path="/tmp/fa/shot_list.png")
    page.goto("/consistency/"); page.get_by_role("button", name="Check").click(); page.wait_for_load_state("networkidle")
    page.screenshot(path="/tmp/fa/shot_check.png", full_page=True)
