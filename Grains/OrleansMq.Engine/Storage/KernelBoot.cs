namespace OrleansMq.Storage;

/// <summary>Which run of the machine's kernel this is.</summary>
public static class KernelBoot
{
    private const string Path = "/proc/sys/kernel/random/boot_id";

    /// <summary>A number of the kernel's, new with every boot: what a process wrote under it is in the page cache or on disk, however the
    /// process ended. Empty where the system has none.</summary>
    public static Guid Id { get; } = Read();

    private static Guid Read()
    {
        try
        {
            return Guid.TryParse(File.ReadAllText(Path).AsSpan().Trim(), out var id) ? id : Guid.Empty;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return Guid.Empty; // Not Linux, or a sandbox that hides it: replicas join again by catching up.
        }
    }
}
