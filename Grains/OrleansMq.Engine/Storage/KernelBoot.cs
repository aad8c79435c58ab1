namespace OrleansMq.Storage;

/// <summary>Identifies the current boot of the machine's kernel.</summary>
internal static class KernelBoot
{
    private const string Path = "/proc/sys/kernel/random/boot_id";

    /// <summary>The kernel's boot id, new with every boot. What a process wrote during this boot is in the page cache or on disk, however
    /// the process ended. Empty if the system has none.</summary>
    public static Guid Id { get; } = Read();

    private static Guid Read()
    {
        try
        {
            return Guid.TryParse(File.ReadAllText(Path).AsSpan().Trim(), out var id) ? id : Guid.Empty;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return Guid.Empty; // Not Linux, or hidden by a sandbox: replicas rejoin by catching up.
        }
    }
}
