# cmake -DFROM=<folder> -DTO=<file.c> -P embed.cmake: the page's files as C arrays.
set(text "#include \"http/page_files.h\"\n\n")
set(number 0)
foreach(name index.html page.css page.js)
  file(READ ${FROM}/${name} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
  string(APPEND text "static const unsigned char file_${number}[] = {\n${bytes}\n};\n")
  math(EXPR number "${number} + 1")
endforeach()
string(APPEND text "
const struct page_file page_files[] = {
    {\"/\", \"text/html; charset=utf-8\", file_0, sizeof(file_0)},
    {\"/page.css\", \"text/css; charset=utf-8\", file_1, sizeof(file_1)},
    {\"/page.js\", \"text/javascript; charset=utf-8\", file_2, sizeof(file_2)},
};
const size_t page_files_count = sizeof(page_files) / sizeof(page_files[0]);
")
file(WRITE ${TO} "${text}")
