"""Headers that neither Django nor django-csp sets on every answer."""

# The site uses none of these, so neither may whatever gets into a page.
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer",
        "browsing-topics",
        "camera",
        "display-capture",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "publickey-credentials-get",
        "serial",
        "usb",
    )
)


def permissions_policy(get_response):
    def middleware(request):
        response = get_response(request)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        return response

    return middleware


def for_nobody_else(get_response):
    """Whatever does not say who may keep it, errors too, no shared cache keeps: the answer may depend on who asks.
    What all may keep sets no cookie: a session that was found broken would be ended for everybody."""

    def middleware(request):
        response = get_response(request)
        response.headers.setdefault("Cache-Control", "private, no-cache")
        if response.headers["Cache-Control"].startswith("public"):
            response.cookies.clear()
        return response

    return middleware
