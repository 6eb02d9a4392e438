// Package landlock makes the second wall as a step: what Landlock refuses of a
// box once its mounts are made, landlock(7). It decides from the kernel's ABI
// what can be asked for, and from the steps before it what the box may write to;
// it must not look at the machine.
//
// Where there are no namespaces it is the only wall: then it takes the places of
// the host that the box is to have, and makes rules that give them and no more.
//
// Rights is the table of what each ABI has; Wall makes the step, and Alone that
// of a box which has nothing else.
package landlock
