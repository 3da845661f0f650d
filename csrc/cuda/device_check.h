// Nobody knows whether kernels are right on a device before they have run there: the first op on it asks.
#pragma once

namespace ssamba {

// Throws unless kernels may run on the device. Asks until the answer is that they are right; from then on costs a load.
void check_device_is_right(int device);

}  // namespace ssamba
