using System.CommandLine;
using OrleansMq.Cli.CommandLine;
using OrleansMq.Cli.Terminal;
using OrleansMq.Log;

namespace OrleansMq.Cli.Segments;

/// <summary><c>omq dump FILE.log</c>: shows the content of a segment file, batch by batch. Needs no broker.</summary>
internal static class DumpCommand
{
    /// <summary>Creates the command.</summary>
    public static Command Create()
    {
        var file =
            new Argument<string>("FILE.log") { Description = "A segment file, such as data/logs/orders-0/00000000000000000000.log." };
        var json = new Option<bool>("--json") { Description = "Write one JSON object per batch and line, with its records." };
        var batchesOnly = new Option<bool>("--batches-only") { Description = "Omit the records." };
        var command = new OmqCommand("dump", "Shows the batches and records of a segment file.",
            "omq dump data/logs/orders-0/00000000000000000000.log",
            "omq dump --json data/logs/orders-0/00000000000000000000.log | jq .baseOffset") { file, json, batchesOnly };
        command.SetAction((parsed, cancellationToken) => Task.Run(
            () => (int)Run(parsed.GetRequiredValue(file), parsed.GetValue(json), !parsed.GetValue(batchesOnly), cancellationToken),
            cancellationToken));
        return command;
    }

    private static ExitCode Run(string path, bool json, bool withRecords, CancellationToken cancellationToken)
    {
        using var file = Open(path);
        using var output = new StreamWriter(new BufferedStream(new StandardOutput(), 64 << 10)) { NewLine = "\n" };
        var dump = json ? (ISegmentDump)new JsonDump(output, withRecords) : new TextDump(output, withRecords);
        var scan = new SegmentScan(file, BaseOffset(path));
        var (batches, records, faults) = (0L, 0L, 0L);
        foreach (var batch in scan.Read())
        {
            cancellationToken.ThrowIfCancellationRequested();
            faults += dump.Write(batch) ? 0 : 1;
            batches++;
            records += batch.Fault is null ? batch.Header.RecordCount : 0;
        }
        dump.End(batches, records, faults, file.Length - scan.Position);
        output.Flush();
        return faults == 0
            ? ExitCode.Done
            : throw CommandFailedException.Refused($"'{path}' has {faults} damaged {(faults == 1 ? "batch" : "batches")}; see above.");
    }

    /// <summary>Returns the base offset in a segment's file name; null for any other name.</summary>
    private static long? BaseOffset(string path) =>
        LogFiles.TryParse(Path.GetFileName(path), LogFiles.Log, out var offset) ? offset : null;

    private static FileStream Open(string path)
    {
        try
        {
            return new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, 1 << 20,
                FileOptions.SequentialScan);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw CommandFailedException.Refused($"There is no file '{path}'.", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw CommandFailedException.Refused($"'{path}' cannot be read: {e.Message}", e);
        }
    }
}
