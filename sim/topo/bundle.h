/* bundle.h - a smaller topology that routes alike: switches that nothing tells apart become one.
 *
 * The spines of a leaf set, the cores of a fat tree, the NVSwitches of a board: traffic that is spread over all minimal
 * paths uses them in equal parts, so one switch with all their lanes stands for them. GPUs, NICs and CPUs stay as they
 * are, with their numbers and nodes; so does every switch and every cable of a network that picks one path for a flow (ECMP,
 * static routing).
 *
 * The classes are an equitable partition: each switch of class C has as many links of one colour to class D as any other
 * of C. A link's colour is its shape and its factors in all epochs, in both directions, so what a fault touches stays
 * apart. Devices that are no switches are classes of their own.
 * Why routes are the same. Let a route lead from a to b, which are no switches. By induction from b, the members of a
 * class are equally far from b, and the same can flow on from each. By induction from a: the members of C receive equal
 * parts, and send the same part over each of their links of one colour; each member of D has as many of those from C as
 * any other of D, so the members of D receive equal parts, and the links of one colour between C and D carry equal parts.
 * Two switches of one class are equally far from b, so no minimal path leads from one to the other; switches that are
 * linked to each other are not merged, to have no links without ends.
 * Hence the link that stands for m links carries what they carry together, and has their capacity together: what is
 * a bottleneck here is one there. What can flow on from one member is that of the class over its number of members, where
 * routes weigh paths by it.
 *
 * The bundled topology is of the same type and refers to the whole one, which must outlive it. Everything below works on
 * whole topologies too: each device and link then stands for itself. */
#ifndef FS_BUNDLE_H
#define FS_BUNDLE_H

#include "topo/topo.h"

/* With the faults that the whole topology has now. */
FS_MUST_CHECK fs_status fs_topo_bundle(const fs_topo *whole, fs_topo **bundled, fs_err *err);

/* How many devices (links) of the whole topology one stands for, the i-th of them in id order, and the way back. */
uint32_t fs_bundle_devices(const fs_topo *topo, uint32_t device);
uint32_t fs_bundle_device(const fs_topo *topo, uint32_t device, uint32_t i);
uint32_t fs_bundle_of_device(const fs_topo *topo, uint32_t whole_device);
uint32_t fs_bundle_links(const fs_topo *topo, uint32_t link);
uint32_t fs_bundle_link(const fs_topo *topo, uint32_t link, uint32_t i);
uint32_t fs_bundle_of_link(const fs_topo *topo, uint32_t whole_link);

#endif
