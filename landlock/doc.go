// Package landlock makes the second wall as a step: what Landlock refuses of a
// box once its mounts are made, landlock(7). It decides from the kernel's ABI
// what can be asked for, and from the steps before it what the box may write to;
// it must not look at the machine.
//
// Rights is the table of what each ABI has; Wall makes the step.
package landlock
