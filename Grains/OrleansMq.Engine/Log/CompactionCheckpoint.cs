using System.Globalization;
using System.Text;
using OrleansMq.Storage;

namespace OrleansMq.Log;

/// <summary>How far a log is compacted.</summary>
/// <param name="FirstDirtyOffset">The first offset that was never cleaned; -1 if it is not known.</param>
/// <param name="EndOffset">Below it, records may have been removed in favour of later ones below it.</param>
/// <param name="ErasedEnd">Below it, records may be missing without a trace; see <see cref="CompactionProgress.ErasedEnd"/>.</param>
internal sealed record CompactionState(long FirstDirtyOffset, long EndOffset, long ErasedEnd)
{
    /// <summary>Nothing is known of a log that was compacted. <see cref="CompactionProgress.Opened"/> bounds what may have been
    /// removed.</summary>
    public static readonly CompactionState Unknown = new(-1, long.MaxValue, long.MaxValue);
}

/// <summary>
/// The file <c>cleaner-checkpoint</c> in a partition's directory, a line each: the version <c>2</c>, the first dirty offset, the end of
/// what is compacted, the end of what is erased. Version <c>1</c> had no erased end, and version <c>0</c> the first dirty offset alone.
/// <see cref="CompactionProgress"/> owns it.
/// </summary>
internal static class CompactionCheckpoint
{
    /// <summary>The file's name.</summary>
    public const string FileName = "cleaner-checkpoint";

    /// <summary>Reads the file.</summary>
    /// <returns>Null if there is none: the log was never compacted. <see cref="CompactionState.Unknown"/> if it is damaged.</returns>
    public static CompactionState? Read(IFileSystem files, string partitionDirectory)
    {
        if (AtomicFile.TryRead(files, Path.Combine(partitionDirectory, FileName)) is not { } bytes)
            return null;
        return Encoding.ASCII.GetString(bytes).Split('\n') switch
        {
            ["2", var first, var end, var erased, ""] when TryParse(first, out var dirty) && TryParse(end, out var compacted)
                && TryParse(erased, out var erasedEnd) => new CompactionState(dirty, compacted, erasedEnd),
            ["1", var first, var end, ""] when TryParse(first, out var dirty) && TryParse(end, out var compacted) =>
                new CompactionState(dirty, compacted, long.MaxValue),
            ["0", var first, ""] when TryParse(first, out var dirty) => new CompactionState(dirty, dirty, long.MaxValue),
            _ => CompactionState.Unknown,
        };
    }

    /// <summary>Writes the file durably.</summary>
    public static void Write(IFileSystem files, string partitionDirectory, CompactionState state) =>
        AtomicFile.Write(files, Path.Combine(partitionDirectory, FileName), Encoding.ASCII.GetBytes(
            string.Create(CultureInfo.InvariantCulture, $"2\n{state.FirstDirtyOffset}\n{state.EndOffset}\n{state.ErasedEnd}\n")));

    private static bool TryParse(string text, out long offset) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out offset) && offset >= -1;
}
