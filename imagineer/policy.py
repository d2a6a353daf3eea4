"""Who may ask for what: every address of the house and its policy.

An address that is not declared here fails the test suite. Names are those of the URL patterns, with their namespace.
"""

PUBLIC = "public"  # the same for everybody; holds nothing of anybody's
GATED = "gated"  # open to all, and ``gallery.visibility`` decides what each sees of it
SHARED = "shared"  # open to whoever has the key of a live shared link, as far as that names it
SIGNED_IN = "signed in"
ADMIN = "admin"  # the whole subtree under it too

POLICY = {
    "admin": ADMIN,
    "account_login": PUBLIC,
    "account_logout": PUBLIC,
    "google_login": PUBLIC,
    "google_callback": PUBLIC,
    "home": GATED,
    "albums": GATED,
    "album": GATED,
    "image": GATED,
    "media": GATED,
    "robots": PUBLIC,
    "sitemap": PUBLIC,
    "sitemap-pages": PUBLIC,
    "sitemap-part": PUBLIC,
    "age-confirmation": PUBLIC,
    "content-filter": PUBLIC,
    "api:auth-me": PUBLIC,
    "api:schema": PUBLIC,
    "api:docs": PUBLIC,
    "api:images": GATED,
    "api:image": GATED,
    "api:image-thumbnail": GATED,
    "api:image-file": GATED,
    "api:albums": GATED,
    "api:album": GATED,
    "api:album-download": GATED,
    "shared": SHARED,
    "shared-download": SHARED,
    "shared-image": SHARED,
    "shared-file": SHARED,
    "shared-media": SHARED,
    "api:shared-links": ADMIN,
    "api:shared-link": ADMIN,
    "demo-sign-in": PUBLIC,
    "run": GATED,
    "run-progress": GATED,
    "api:health": PUBLIC,
    "api:template-list": GATED,
    "api:template-detail": GATED,
    "api:template-runs": GATED,
    "api:template-generate": ADMIN,
    "api:run-list": GATED,
    "api:run-detail": GATED,
    "api:run-items": GATED,
    "api:run-cancel": ADMIN,
    "api:run-retry": ADMIN,
    "api:prompt-template-list": PUBLIC,
    "api:prompt-template-detail": PUBLIC,
    "api:model-list": GATED,
    "api:model-detail": GATED,
    "api:lora-list": GATED,
    "api:lora-detail": GATED,
    "api:settings": ADMIN,
    "api:generate": ADMIN,
}

# The methods of each address that is not only read (GET, and HEAD with it). Every other method is answered by 405.
METHODS = {
    "account_login": "GET POST",
    "account_logout": "GET POST",
    "google_login": "POST",
    "demo-sign-in": "GET POST",
    "age-confirmation": "GET POST",
    "content-filter": "POST",
    "api:shared-links": "GET POST",
    "api:shared-link": "DELETE",
    "api:template-list": "GET POST",
    "api:template-detail": "GET PUT DELETE",
    "api:template-generate": "POST",
    "api:settings": "GET PUT",
    "api:generate": "POST",
    "api:prompt-template-list": "GET POST",
    "api:prompt-template-detail": "GET PUT PATCH DELETE",
    "api:run-cancel": "POST",
    "api:run-retry": "POST",
}
# Addresses that anybody may write to; all others want an admin's token, or session with a CSRF token.
WRITABLE_BY_ALL = {
    "account_login",
    "account_logout",
    "google_login",
    "demo-sign-in",
    "age-confirmation",
    "content-filter",
}
