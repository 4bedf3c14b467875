"""Media types of files by their names, the same on every machine and version of Python."""

from __future__ import annotations

import os
from typing import Final

# The registered type where browsers know it (RFC 9239 for scripts). What the standard library
# knows differs between its versions, and nosniff makes a script of a wrong type none at all.
_TABLE: Final = """
application/atom+xml atom
application/dash+xml mpd
application/epub+zip epub
application/geo+json geojson
application/gzip gz tgz
application/java-archive ear jar war
application/json json map
application/ld+json jsonld
application/manifest+json webmanifest
application/mathml+xml mml
application/msword doc dot wiz
application/n-quads nq
application/n-triples nt
application/octet-stream a bin br deb dll dmg exe img iso msi o obj so
application/oda oda
application/ogg ogx
application/pdf pdf
application/pkcs7-mime p7c
application/pkix-crl crl
application/postscript ai eps ps
application/rss+xml rss
application/rtf rtf
application/toml toml
application/trig trig
application/vnd.android.package-archive apk
application/vnd.apple.mpegurl m3u m3u8
application/vnd.google-earth.kml+xml kml
application/vnd.google-earth.kmz kmz
application/vnd.ms-excel xlb xls
application/vnd.ms-fontobject eot
application/vnd.ms-powerpoint pot ppa pps ppt pwz
application/vnd.oasis.opendocument.graphics odg
application/vnd.oasis.opendocument.presentation odp
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.text odt
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/vnd.rar rar
application/wasm wasm
application/x-7z-compressed 7z
application/x-bcpio bcpio
application/x-bittorrent torrent
application/x-bzip2 bz2
application/x-cpio cpio
application/x-csh csh
application/x-dvi dvi
application/x-gtar gtar
application/x-hdf hdf
application/x-hdf5 h5
application/x-java-jnlp-file jnlp
application/x-latex latex
application/x-mif mif
application/x-netcdf cdf nc
application/x-pkcs12 p12 pfx
application/x-pn-realaudio ram
application/x-python-code pyc pyo
application/x-rpm rpm
application/x-sh sh
application/x-shar shar
application/x-shockwave-flash swf
application/x-sv4cpio sv4cpio
application/x-sv4crc sv4crc
application/x-tar tar
application/x-tcl tcl
application/x-tex tex
application/x-texinfo texi texinfo
application/x-troff roff t tr
application/x-troff-man man
application/x-troff-me me
application/x-troff-ms ms
application/x-ustar ustar
application/x-wais-source src
application/x-x509-ca-cert crt der pem
application/x-xpinstall xpi
application/x-xz xz
application/xhtml+xml xht xhtml
application/xml rdf wsdl xpdl xsl
application/xslt+xml xslt
application/xspf+xml xspf
application/yaml yaml yml
application/zip zip
application/zstd zst
audio/aac aac adts ass loas
audio/basic au snd
audio/flac flac
audio/matroska mka
audio/midi mid midi
audio/mp4 m4a m4b
audio/mpeg mp2 mp3
audio/ogg oga ogg opus
audio/wav wav
audio/webm weba
audio/x-aiff aif aifc aiff
audio/x-pn-realaudio ra
font/collection ttc
font/otf otf
font/ttf ttf
font/woff woff
font/woff2 woff2
image/apng apng
image/avif avif
image/bmp bmp
image/gif gif
image/heic heic
image/heif heif
image/ief ief
image/jpeg jfif jpe jpeg jpg
image/jxl jxl
image/pict pct pic pict
image/png png
image/svg+xml svg svgz
image/tiff tif tiff
image/webp webp
image/x-cmu-raster ras
image/x-icon ico
image/x-portable-anymap pnm
image/x-portable-bitmap pbm
image/x-portable-graymap pgm
image/x-portable-pixmap ppm
image/x-rgb rgb
image/x-xbitmap xbm
image/x-xpixmap xpm
image/x-xwindowdump xwd
message/rfc822 eml mht mhtml nws
model/gltf+json gltf
model/gltf-binary glb
model/stl stl
model/vnd.usdz+zip usdz
text/calendar ics
text/css css
text/csv csv
text/html htm html shtml
text/javascript cjs js mjs
text/markdown markdown md
text/n3 n3
text/plain bat c h ksh log pl srt txt
text/richtext rtx
text/tab-separated-values tsv
text/vtt vtt
text/x-python py
text/x-rst rst
text/x-setext etx
text/x-sgml sgm sgml
text/x-vcard vcf
text/xml xml
text/xul xul
video/3gpp 3gp 3gpp
video/3gpp2 3g2 3gpp2
video/iso.segment m4s
video/matroska mkv
video/mp2t ts
video/mp4 m4v mp4
video/mpeg m1v mpa mpe mpeg mpg
video/ogg ogv
video/quicktime mov qt
video/webm webm
video/x-flv flv
video/x-ms-asf asf asx
video/x-ms-wmv wmv
video/x-msvideo avi
video/x-sgi-movie movie
"""
_FIELDS: dict[str, bytes] = {
    f".{extension}": f"{kind}{'; charset=utf-8' if kind.startswith('text/') else ''}".encode()
    for kind, *extensions in map(str.split, _TABLE.strip().splitlines())
    for extension in extensions
}


def content_type(name: str) -> bytes:
    """The value of Content-Type for a file of this name; text is said to be UTF-8."""
    extension = os.path.splitext(name)[1]
    found = _FIELDS.get(extension) or _FIELDS.get(extension.lower())
    return found or b"application/octet-stream"
