using System.ComponentModel;
using System.Runtime.InteropServices;
using OrleansMq.Cli.CommandLine;

namespace OrleansMq.Cli.Clusters;

/// <summary>Whose a directory is. In that of another user, a file could be a symbolic link to one of the caller's.</summary>
internal static class DirectoryOwner
{
    private const int CurrentDirectory = -100;
    private const uint OwnerField = 8;
    // Where struct statx of linux/stat.h has the owner, on every architecture.
    private const int OwnerOffset = 20;
    private const int StatxBytes = 256;

    /// <summary>Checks that only the caller can change what the directory contains. Without Linux, nothing is checked.</summary>
    /// <exception cref="CommandFailedException">Another user owns it, or every user may write to it.</exception>
    public static void Demand(string directory)
    {
        if (!OperatingSystem.IsLinux())
            return;
        var (owner, self) = (OwnerOf(directory), EffectiveUser());
        if (owner != self)
        {
            throw CommandFailedException.Refused($"--data {directory}: the directory belongs to the user with the number {owner}, and this "
                + $"is user {self}. Its owner could read or replace the cluster's files. Choose a directory of your own.");
        }
        if ((File.GetUnixFileMode(directory) & UnixFileMode.OtherWrite) != 0)
        {
            throw CommandFailedException.Refused($"--data {directory}: every user may write to the directory, and could replace the "
                + $"cluster's files. Choose another one, or forbid it: chmod o-w {directory}");
        }
    }

    private static uint OwnerOf(string directory)
    {
        var status = new byte[StatxBytes];
        if (Statx(CurrentDirectory, directory, 0, OwnerField, status) != 0)
            throw new IOException(new Win32Exception(Marshal.GetLastPInvokeError()).Message);
        return MemoryMarshal.Read<uint>(status.AsSpan(OwnerOffset));
    }

#pragma warning disable SYSLIB1054 // The generated marshalling needs unsafe code.
    [DllImport("libc", EntryPoint = "statx", SetLastError = true)]
    private static extern int Statx(int directory, [MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags, uint fields,
        [Out] byte[] status);

    [DllImport("libc", EntryPoint = "geteuid")]
    private static extern uint EffectiveUser();
#pragma warning restore SYSLIB1054
}
