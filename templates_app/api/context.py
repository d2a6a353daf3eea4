from gallery.visibility import Viewer


def viewer_context(request) -> dict:
    return {"request": request, "viewer": Viewer.from_request(request)}
