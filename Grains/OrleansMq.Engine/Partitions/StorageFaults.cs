using OrleansMq.Log;
using OrleansMq.Queues;
using OrleansMq.Storage;

namespace OrleansMq.Partitions;

/// <summary>The operator's message for a fault of the disk: the path and the fix.</summary>
internal static class StorageFaults
{
    private const string MoreHandles =
        "Raise the limit of open files (ulimit -n, or LimitNOFILE of the service), or lower --max-open-files.";

    /// <summary>Whether an exception is a fault of the storage; any other one is a bug.</summary>
    public static bool IsStorageFault(Exception fault) => fault is IOException or UnauthorizedAccessException;

    /// <summary>Whether an exception says what the log holds; any other one, unless of the storage, is a bug.</summary>
    public static bool IsOfContent(Exception fault) => fault is InvalidDataException or UnknownTransitionException;

    /// <summary>Whether a fault passes by itself, and leaves the log as it was: it is no sign of damage.</summary>
    public static bool Passes(Exception fault) => fault is CutDuringReadException || DiskFaults.Passes(fault);

    /// <summary>Whether a failed write left the log as it was. The file is there, and ends where it did.</summary>
    public static bool IsUndone(Exception fault) =>
        IsStorageFault(fault) && fault is not (WriteNotUndoneException or FileNotFoundException or DirectoryNotFoundException);

    /// <summary>Whether a file could not be opened for lack of handles, so that nothing was tried on it.</summary>
    public static bool HadNoHandle(Exception fault) => DiskFaults.IsNoHandle(fault);

    /// <summary>Returns the message for a fault that takes the partition offline.</summary>
    public static string Describe(string directory, Exception fault) => fault switch
    {
        DamagedLogException or DiskFullException or InvalidDataException => fault.Message,
        UnknownTransitionException => $"{fault.Message} Start this broker with that version of OrleansMq.",
        UnauthorizedAccessException => $"{fault.Message} Make '{directory}' and its files writable for the broker's user; then restart "
            + "the broker.",
        _ when DiskFaults.IsScarcity(fault) => $"{fault.Message} {MoreHandles} Then restart the broker.",
        _ => $"The storage of '{directory}' failed: {fault.Message} Check the disk and its mount; then restart the broker.",
    };

    /// <summary>Returns the message for a bug that takes the partition offline.</summary>
    public static string DescribeBug(Exception bug) =>
        $"A bug in OrleansMq stopped the partition: {bug.Message} Please report it; then restart the broker.";

    /// <summary>Returns the message for a failed read that says nothing of the file; the partition stays online.</summary>
    public static string DescribeUnread(Exception fault) => fault is CutDuringReadException ? fault.Message
        : $"{fault.Message} {MoreHandles} Retry.";

    /// <summary>Returns the message for batches that are written, but could not be flushed yet; the partition stays online.</summary>
    public static string DescribeUnflushed(string directory, Exception fault) => "The batch is written, but not flushed yet: "
        + (fault is DiskFullException full ? $"no space left on the volume of '{full.Path}'. Free some space, and retry."
            : $"in '{directory}', {fault.Message} {MoreHandles} Retry.");

    /// <summary>Returns the message for a failed write that was undone; the partition stays online.</summary>
    public static string DescribeRefused(string directory, Exception fault) => fault switch
    {
        DiskFullException full => $"No space left on the volume of '{full.Path}'; nothing was appended. Free some space; appends go on "
            + "by themselves.",
        UnauthorizedAccessException => $"{fault.Message} Nothing was appended. Make '{directory}' and its files writable for the "
            + "broker's user, and retry.",
        _ when DiskFaults.IsScarcity(fault) => $"{fault.Message} Nothing was appended. {MoreHandles} Retry.",
        _ => $"A write in '{directory}' failed; nothing was appended: {fault.Message} Check the disk and its mount, and retry.",
    };
}
