using System.Runtime.InteropServices;

namespace OrleansMq.Cli.Terminal;

/// <summary>Standard input as bytes.</summary>
internal static class StandardInput
{
    private const int Descriptor = 0;
    private const int GetDescriptorFlags = 1; // F_GETFD, the same number on Linux and macOS
    private const int CloseOnExec = 1; // FD_CLOEXEC

    /// <summary>Opens it. A program that was started without one (<c>omq ... &lt;&amp;-</c>) reads nothing.</summary>
    /// <remarks>The runtime's first file takes the place of a missing standard input, and a read from that may wait for ever. It is closed
    /// when another program is executed, and an inherited file cannot be.</remarks>
    public static Stream Open() => IsMissing() ? Stream.Null : Console.OpenStandardInput();

    private static bool IsMissing() =>
        !OperatingSystem.IsWindows() && fcntl(Descriptor, GetDescriptorFlags) is var flags && (flags < 0 || (flags & CloseOnExec) != 0);

#pragma warning disable IDE1006, SYSLIB1054 // The C library's own name; numbers need no generated marshalling.
    [DllImport("libc")]
    private static extern int fcntl(int descriptor, int command);
#pragma warning restore IDE1006, SYSLIB1054
}
