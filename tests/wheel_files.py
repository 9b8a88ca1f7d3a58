"""A wheel that is published to nobody: what a download of the tests brings."""

import zipfile


def next_download(monkeypatch, module, wheel_name, files):
    """Let ``module.download`` bring a wheel with these files, {name in it: bytes}; returns the downloads made."""
    downloads = []

    def download(package, folder):
        downloads.append(package)
        wheel = folder / wheel_name
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return wheel

    monkeypatch.setattr(module, "download", download)
    return downloads
