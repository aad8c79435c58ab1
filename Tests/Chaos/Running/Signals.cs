using System.Runtime.InteropServices;

namespace OrleansMq.Tests.Chaos.Running;

/// <summary>Signals to processes that a test started.</summary>
internal static class Signals
{
    public const int Interrupt = 2;
    public const int Kill = 9;
    public const int Terminate = 15;
    public const int Continue = 18;
    public const int Stop = 19;

    /// <summary>Sends a signal. Returns false if the process does not exist.</summary>
    public static bool TrySend(int processId, int signal) => kill(processId, signal) == 0;

#pragma warning disable IDE1006, SYSLIB1054 // The C library's own name; numbers need no generated marshalling.
    [DllImport("libc", SetLastError = true)]
    private static extern int kill(int processId, int signal);
#pragma warning restore IDE1006, SYSLIB1054
}
