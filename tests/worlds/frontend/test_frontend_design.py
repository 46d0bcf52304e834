"""Frontend design: pictures of hostile pages, how alike they are, and the dialogue from the command line."""

import asyncio
import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from chat_server import chat_server
from PIL import Image

from turnsmith.cli import main
from turnsmith.envs.browser.chromium import find_chromium
from turnsmith.envs.dialogue.pages import HEIGHT, TALLEST, WIDTH, PageRenderer
from turnsmith.errors import UserError
from turnsmith.trace.store import Store
from turnsmith.worlds.frontend.design import DesignManner
from turnsmith.worlds.frontend.similarity import StructuralSimilarity, black


def browser_is_missing() -> bool:
    try:
        find_chromium()
    except UserError:
        return True
    return False


browsing = pytest.mark.skipif(browser_is_missing(), reason="no Chromium on this machine")


def png(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def noise(seed: int, height: int = 300) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height // 10, 40, 3)).repeat(10, 0).repeat(10, 1)


def test_structural_similarity_is_one_for_equal_pictures_symmetric_and_falls_with_what_is_changed():
    compare, page = StructuralSimilarity().compare, noise(0)
    assert compare(png(page), png(page)) == pytest.approx(1)
    values = []
    for share in (0.1, 0.3, 0.6, 1.0):
        changed = page.copy()
        rows = int(share * len(page))
        changed[:rows] = noise(1)[:rows]
        values.append(compare(png(page), png(changed)))
        assert values[-1] == pytest.approx(compare(png(changed), png(page)))
    assert sorted(values, reverse=True) == values
    assert values[0] < 1
    assert values[-1] < 0.25
    assert compare(png(page), png(page[:100])) < 0.6  # the rest is missing
    assert compare(black(), png(np.full((300, 400, 3), 255))) < 0.01
    flat = np.full((300, 400, 3), 200)
    assert compare(png(flat), png(flat + 5)) > 0.98
    wide = np.repeat(np.repeat(page, 2, 0), 2, 1)
    assert compare(png(page), png(wide)) == pytest.approx(1)  # the same page at another scale


def test_structural_similarity_agrees_with_the_formula_on_one_window():
    from turnsmith.worlds.frontend.similarity import _ssim

    rng = np.random.default_rng(3)
    a, b = rng.random((7, 7, 3)), rng.random((7, 7, 3))
    for colour in range(3):
        x, y = a[..., colour].ravel(), b[..., colour].ravel()
        cov = ((x - x.mean()) * (y - y.mean())).mean()
        wanted = (2 * x.mean() * y.mean() + 1e-4) * (2 * cov + 9e-4)
        wanted /= (x.mean() ** 2 + y.mean() ** 2 + 1e-4) * (x.var() + y.var() + 9e-4)
        assert _ssim(a, b)[0, 0, colour] == pytest.approx(wanted)


def test_clip_is_the_cosine_of_its_own_embeddings(tmp_path):
    torch = pytest.importorskip("torch")
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    from turnsmith.worlds.frontend.clip import ClipSimilarity

    torch.manual_seed(0)
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
              "image_size": 32, "patch_size": 8}  # fmt: skip
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
            "vocab_size": 99}  # fmt: skip
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).eval()
    model.save_pretrained(tmp_path)
    measure, one, other = ClipSimilarity(tmp_path), png(noise(0, 600)), png(noise(1))
    assert measure.name == "clip"
    assert measure.compare(one, one) == pytest.approx(1, abs=1e-6)
    try:
        processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    except ImportError:
        processor = None
    if processor is not None:
        images: list = [Image.open(io.BytesIO(data)) for data in (one, other)]
        pixels = torch.as_tensor(np.stack(processor(images)["pixel_values"]))
    else:
        pixels = torch.stack([measure._pixels(one), measure._pixels(other)])
    with torch.no_grad():
        pooled = model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)
    assert measure.compare(one, other) == pytest.approx(
        float(torch.cosine_similarity(pooled[0], pooled[1], 0)), abs=2e-3
    )
    with pytest.raises(UserError, match="no CLIP model"):
        ClipSimilarity(tmp_path / "nothing")


class Counter(BaseHTTPRequestHandler):
    """A server that nobody may reach."""

    hits = 0

    def do_GET(self):
        type(self).hits += 1
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        return


@browsing
def test_a_page_can_do_nothing():
    server = HTTPServer(("127.0.0.1", 0), Counter)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    plain = "<html><body style='background:#cde'><h1>Stay</h1></body></html>"
    hostile = {
        "script": plain.replace("<h1>", "<script>document.body.style.background='red';while(1){}</script><h1>"),
        "handler": plain.replace("<h1>", "<h1 onload='x' onclick='x'>"),
        "refresh": plain.replace("<body", f"<meta http-equiv=refresh content='0;url={url}/meta'><body"),
        "sheets": plain.replace("<body", f"<link rel=stylesheet href='{url}/a'><style>@import '{url}/b';</style><body"),
        "prefetch": plain.replace(
            "<body", f"<link rel=prefetch href='{url}/p'><link rel=preconnect href='{url}'><body"
        ),
    }

    async def pictures():
        renderer = PageRenderer(seconds=20)
        await renderer.start()
        try:
            wanted = await renderer.render(plain)
            found = {name: await renderer.render(html) for name, html in hostile.items()}
            frames = await renderer.render(
                f"<html><iframe src='{url}/f'></iframe><iframe src='file:///etc/passwd'></iframe>"
                f"<object data='{url}/o'></object><embed src='{url}/e'><img src='{url}/i.png'></html>"
            )
            tall = await renderer.render("<html><div style='height:9000000px'>x</div></html>")
            nothing = await renderer.render("")
            return wanted, found, frames, tall, nothing, renderer.refused
        finally:
            await renderer.stop()

    wanted, found, frames, tall, nothing, refused = asyncio.run(pictures())
    server.shutdown()
    assert Counter.hits == 0
    compare = StructuralSimilarity().compare
    assert wanted is not None
    assert tall is not None
    for name, picture in found.items():
        assert picture is not None, name
        assert compare(wanted, picture) > 0.999, name
    assert Image.open(io.BytesIO(wanted)).size == (WIDTH, HEIGHT)
    assert Image.open(io.BytesIO(tall)).size == (WIDTH, TALLEST)
    assert frames is not None
    assert nothing is not None
    assert any("/meta" in one for one in refused)


@browsing
def test_pictures_of_a_page_are_one_picture_and_a_stylesheet_is_the_local_one(tmp_path):
    (tmp_path / "t.css").write_text(".bg-red-500{background:rgb(255,0,0)} .p-40{padding:10rem}")

    async def pictures():
        found = []
        for style in (None, tmp_path / "t.css"):
            renderer = PageRenderer(style)
            await renderer.start()
            for address in ("https://picsum.photos/id/1/300", "http://elsewhere.example/cat.jpg"):
                html = f"<html><body class='bg-red-500 p-40'><img width=300 height=200 src='{address}'></body></html>"
                found.append(await renderer.render(html))
            await renderer.stop()
        return found

    one, same, styled, _ = asyncio.run(pictures())
    assert one == same
    pixels = np.asarray(Image.open(io.BytesIO(styled)).convert("RGB"))
    assert tuple(pixels[5, 5]) == (255, 0, 0)
    assert len(np.unique(np.asarray(Image.open(io.BytesIO(one)).convert("RGB")).reshape(-1, 3), axis=0)) > 4
    with pytest.raises(UserError, match="cannot be read"):
        PageRenderer(tmp_path / "none.css")


def test_a_reply_is_a_page_or_says_what_is_missing():
    manner = DesignManner()
    call, error = manner.parse("thinking <html>no</html> OUTPUT: <html>a</html> or <HTML lang='en'>b</HTML>")
    assert call is not None
    assert (call.name, call.arguments["text"], error) == ("show", "<HTML lang='en'>b</HTML>", "")
    last, _ = manner.parse("I WANT TO ANSWER:\n```html\n<!doctype html>\n<html>b</html>\n```")
    assert last is not None
    assert last.name == "answer"
    assert manner.parse("A page.")[1].startswith("there is no page")


RED = "<html><body style='background:red'><h1>Sale</h1></body></html>"
BLUE = RED.replace("red", "blue")


def builder(messages: list[dict]) -> str:
    """Blue at first; red once somebody says so; one that is told nothing of it stays with blue."""
    if "red" in messages[-1]["content"]:
        return f"I WANT TO ANSWER: {RED}"
    return "no page at all" if len(messages) == 4 else BLUE


def stubborn(messages: list[dict]) -> str:
    return BLUE


def onlooker(messages: list[dict]) -> str:
    """Sees the two pictures and nothing else: says the colour where they differ."""
    pictures = [part["image_url"]["url"] for part in messages[1]["content"]]
    assert len(pictures) == 2
    shown = [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in pictures]
    colours = [np.asarray(image)[-5, -5] for image in shown]
    return "make it red" if np.abs(colours[0].astype(int) - colours[1]).max() > 50 else "fine"


@browsing
def test_pages_are_built_in_a_dialogue_and_two_agents_compared(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"problem_description": "A page for a sale.", "ground_truth": RED},
        {"llm_generated_idea": "x", "text": RED},
    ]
    (tmp_path / "pages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with chat_server(builder=builder, stubborn=stubborn, onlooker=onlooker) as server:
        command = ["eval", "colbench", "pages.jsonl", "--simulator", server.spec("onlooker"), "--turns", "3"]
        assert main([*command, "--agent", server.spec("stubborn"), "--name", "one"]) == 0
        assert main([*command, "--agent", server.spec("builder"), "--name", "two", "--against", "one"]) == 0
        for name in ("builder", "stubborn"):
            assert "background:red" not in str([m for b in server.seen[name] for m in b["messages"][:2]])
    said = capsys.readouterr().out
    assert "structure similarity" in said
    assert "clip" not in said.casefold()
    assert "wins 100.0 % of 2 tasks" in said
    report = json.loads((tmp_path / "runs/two/report.json").read_text())
    assert report["numbers"]["value"] == pytest.approx(1, abs=1e-3)
    with Store(tmp_path / "runs/two/run.db", read_only=True) as store:
        trace = next(iter(store.traces()))
        assert len(trace.turns) == 2
        assert trace.turns[1].observation.images
        assert store.image(trace.turns[1].observation.images[0].digest)
