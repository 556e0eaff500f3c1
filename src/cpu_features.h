/* What the processor and the operating system let us use. */
#ifndef SNN_CPU_FEATURES_H
#define SNN_CPU_FEATURES_H

int snn_cpu_has_x86_64_v4(void);
int snn_cpu_has_x86_64_v3(void);

#endif
