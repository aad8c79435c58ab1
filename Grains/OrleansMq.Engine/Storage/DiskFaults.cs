namespace OrleansMq.Storage;

/// <summary>Classifies an <see cref="IOException"/> of the disk by its HResult, in which the runtime stores the system's error
/// number.</summary>
internal static class DiskFaults
{
    // The numbers in errno.h (Linux; macOS and the BSDs if different) and winerror.h.
    private const int NoSpaceLeft = 28;
    private const int QuotaExceededLinux = 122;
    private const int QuotaExceededBsd = 69;
    private const int WouldBlockLinux = 11;
    private const int WouldBlockBsd = 35;
    private const int NoMemory = 12;
    private const int TooManyFilesInSystem = 23;
    private const int TooManyFilesInProcess = 24;
    private const int WindowsTooManyFiles = unchecked((int)0x80070004);
    private const int WindowsNoMemory = unchecked((int)0x80070008);
    private const int WindowsSharingViolation = unchecked((int)0x80070020);
    private const int WindowsLockViolation = unchecked((int)0x80070021);
    private const int WindowsHandleDiskFull = unchecked((int)0x80070027);
    private const int WindowsDiskFull = unchecked((int)0x80070070);

    public static bool IsDiskFull(IOException exception) => OperatingSystem.IsWindows()
        ? exception.HResult is WindowsDiskFull or WindowsHandleDiskFull
        : IsDiskFull(exception.HResult);

    public static bool IsDiskFull(int errno) =>
        errno == NoSpaceLeft || errno == (OperatingSystem.IsLinux() ? QuotaExceededLinux : QuotaExceededBsd);

    /// <summary>Whether the process or the system ran out of file handles or memory: no sign of damage, and it passes.</summary>
    public static bool IsScarcity(Exception exception) => exception is IOException { HResult: var number }
        && (OperatingSystem.IsWindows() ? number is WindowsTooManyFiles or WindowsNoMemory
            : number is NoMemory or TooManyFilesInSystem or TooManyFilesInProcess);

    /// <summary>Whether a fault of an operation passes by itself: the volume is full, or <see cref="IsScarcity"/>.</summary>
    public static bool Passes(Exception exception) => exception is DiskFullException || IsScarcity(exception);

    /// <summary>Whether a file could not be opened for lack of handles. Only opening reports that, so nothing was tried on the
    /// file.</summary>
    public static bool IsNoHandle(Exception exception) => exception is IOException { HResult: var number }
        && (OperatingSystem.IsWindows() ? number is WindowsTooManyFiles : number is TooManyFilesInSystem or TooManyFilesInProcess);

    public static bool IsLocked(IOException exception) => OperatingSystem.IsWindows()
        ? exception.HResult is WindowsSharingViolation or WindowsLockViolation
        : exception.HResult == (OperatingSystem.IsLinux() ? WouldBlockLinux : WouldBlockBsd);
}
