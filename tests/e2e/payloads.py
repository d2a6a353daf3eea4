"""Texts that become scripts wherever a page forgets to write them as text."""

import json

from tests.e2e.running import Demo

FIRE = "alert(1)"
PAYLOADS = [
    f"<script>{FIRE}</script>",
    f"</title><script>{FIRE}</script>",
    f"</textarea><script>{FIRE}</script>",
    f"</style><script>{FIRE}</script>",
    f"</script><script>{FIRE}</script>",
    f"</pre><script>{FIRE}</script>",
    f"--><script>{FIRE}</script><!--",
    f"]]><script>{FIRE}</script>",
    f"<ScRiPt>{FIRE}</sCrIpT>",
    f"<script\n>{FIRE}</script\n>",
    f"<script/x>{FIRE}</script>",
    f"<<script>{FIRE}//<</script>",
    f"<script type=module>{FIRE}</script>",
    f"<script src=data:text/javascript,{FIRE}></script>",
    f"<img src=x onerror={FIRE}>",
    f'"><img src=x onerror={FIRE}>',
    f"'><img src=x onerror={FIRE}>",
    f'" onerror="{FIRE}',
    f'" onload="{FIRE}',
    f'" onfocus="{FIRE}" autofocus="',
    f"' onfocus='{FIRE}' autofocus='",
    f" onfocus={FIRE} autofocus ",
    f'" onmouseover="{FIRE}',
    f'" style="animation-name:x" onanimationstart="{FIRE}',
    f"<img/src=x/onerror={FIRE}>",
    f"<img src onerror={FIRE}//",
    "<img src=x onerror=&#97;lert(1)>",
    f"<image src=x onerror={FIRE}>",
    f"<svg onload={FIRE}>",
    f"<svg><script>{FIRE}</script></svg>",
    f"<svg><script xlink:href=data:,{FIRE} /></svg>",
    f"<svg><animate onbegin={FIRE} attributeName=x dur=1s>",
    f"<svg><a xlink:href=javascript:{FIRE}><text y=20>x</text></a></svg>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={FIRE}>",
    f"<noscript><p title='</noscript><img src=x onerror={FIRE}>'>",
    f"<template><script>{FIRE}</script></template>",
    f"<body onload={FIRE}>",
    f"<input onfocus={FIRE} autofocus>",
    f"<textarea onfocus={FIRE} autofocus>",
    f"<details open ontoggle={FIRE}>",
    f"<video><source onerror={FIRE}></video>",
    f"<video src=x onerror={FIRE}>",
    f"<iframe src=javascript:{FIRE}></iframe>",
    f"<iframe srcdoc='<script>parent.{FIRE}</script>'></iframe>",
    f"<object data=javascript:{FIRE}>",
    f"<a href=javascript:{FIRE}>x</a>",
    f"javascript:{FIRE}",
    f"<form action=javascript:{FIRE}><button autofocus>x</button></form>",
    "<base href=//evil.example/><script src=x></script>",
    f"<meta http-equiv=refresh content='0;url=javascript:{FIRE}'>",
    f"<link rel=stylesheet href=x onerror={FIRE}>",
    f"<marquee onstart={FIRE}>x</marquee>",
    f"{{{{ constructor.constructor('{FIRE}')() }}}}",
    f"{{% load x %}}${{{FIRE}}}<%= {FIRE} %>",
    f"\u2028{FIRE}\u2029<img src=x onerror={FIRE}>",
    f"\ufeff<script>{FIRE}</script>",
    f"\uff1cscript\uff1e{FIRE}\uff1c/script\uff1e",
    f"\\u003cscript\\u003e{FIRE}\\u003c/script\\u003e",
    f"&lt;img src=x onerror={FIRE}&gt;",
    f"%3Cimg%20src=x%20onerror={FIRE}%3E",
    f"';{FIRE};//",
    f'";{FIRE};//',
    f"\\';{FIRE};//",
]

PROGRAM = """
import io, json
from PIL import Image as Pillow
from gallery.ingest import ingest_image
from gallery.models import *
from gallery.services import add_images, create_album
payloads = json.loads({payloads!r})
everything = create_album(name=payloads[0], description=" ".join(payloads), is_training_source=True)
made = {{"album": everything.pk, "images": [], "albums": []}}
for number, payload in enumerate(payloads):
    buffer = io.BytesIO()
    Pillow.new("RGB", (64, 64), (number, 255 - number, 90)).save(buffer, "PNG")
    title = payload if number % 2 else ""
    model = DiffusionModel.objects.create(name=f"payload{{number}}", title=title, location="x")
    image = ingest_image(
        buffer.getvalue(), source_type="manual", rating="safe", prompt=payload, negative_prompt=payload, model=model,
        generation_params={{
            "seed": payload, "steps": payload, "scheduler": payload, "model": {{"name": payload}},
            "loras": [{{"name": payload, "weight": payload, "sha256": payload}}], payload: payload,
        }},
    ).image
    # what ingest would clean is shown just as well if a row holds it
    Image.objects.filter(pk=image.pk).update(filename=payload[:255])
    for kind in ("caption", "tag", "category"):
        Label.objects.create(image=image, type=kind, text=payload, model_name=payload)
    album = create_album(name=payload[:200], description=payload)
    add_images(album, [image])
    Lora.objects.create(name=payload[:100], file="x", sha256=f"{{number:064x}}", family=payload[:20],
                        trigger_words=[payload], description=payload)
    made["images"].append(image.pk)
    made["albums"].append(album.pk)
add_images(everything, Image.objects.filter(pk__in=made["images"]).order_by("pk"))
print("MADE", json.dumps(made))
"""


def write_payloads(demo: Demo) -> dict:
    """Put each payload into every field that is shown, of rows of its own; return the ids of what was made."""
    done = demo.manage("shell", "-v", "0", "-c", PROGRAM.format(payloads=json.dumps(PAYLOADS)))
    assert "MADE" in done.stdout, done.stderr[-3000:]
    return json.loads(done.stdout.partition("MADE ")[2].splitlines()[0])
