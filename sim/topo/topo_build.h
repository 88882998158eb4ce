/* topo_build.h - from a valid XML tree to a spec. Internal to topo. */
#ifndef FS_TOPO_BUILD_H
#define FS_TOPO_BUILD_H

#include "topo/spec_in.h"
#include "topo/topo_doc.h"

/* Fill `spec` with everything in the tree. Errors stand at the attribute to blame. */
FS_MUST_CHECK fs_status fs_topo_build(fs_doc *doc, fs_spec *spec, fs_err *err);

#endif
