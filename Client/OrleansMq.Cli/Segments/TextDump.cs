using System.Globalization;
using System.Text;
using OrleansMq.Compression;
using OrleansMq.Records;

namespace OrleansMq.Cli.Segments;

/// <summary>A human-readable dump: a line per batch, and below it one per record.</summary>
internal sealed class TextDump(TextWriter output, bool withRecords) : ISegmentDump
{
    /// <summary>How many bytes of a key or value are shown: enough to identify it. <c>--json</c> shows all.</summary>
    private const int ShownBytes = 100;

    /// <inheritdoc/>
    public bool Write(ScannedBatch batch)
    {
        output.WriteLine(Describe(batch));
        if (batch.Fault is { } fault)
        {
            output.WriteLine($"  DAMAGED ({fault.Error}): {fault.Message}");
            return false;
        }
        if (!withRecords)
            return true;
        try
        {
            WriteRecords(batch);
            return true;
        }
        catch (Exception e) when (e is RecordBatchException or CodecUnavailableException)
        {
            output.WriteLine($"  RECORDS CANNOT BE READ: {e.Message}");
            return false;
        }
    }

    /// <inheritdoc/>
    public void End(long batches, long records, long faults, long unreadBytes)
    {
        var rest = unreadBytes > 0 ? $", {unreadBytes} bytes at the end that are no whole batch" : "";
        output.WriteLine($"{batches} batches, {records} records, {faults} damaged{rest}");
    }

    private void WriteRecords(ScannedBatch batch)
    {
        using var reader = new RecordReader(batch.Bytes, StandardCodecs.All);
        while (reader.MoveNext())
        {
            var record = reader.Current;
            output.Write($"  offset {record.Offset}  {Time(record.Timestamp)}  key {Show(record.Key)}  value {Show(record.Value)}");
            if (record.HeaderCount > 0)
                output.Write("  headers "
                    + string.Join(", ", record.ReadHeaders().Select(header => $"{Show(header.Key)}={Show(header.Value)}")));
            output.WriteLine();
        }
    }

    private static string Describe(ScannedBatch batch)
    {
        var header = batch.Header;
        var line = new StringBuilder(160);
        line.Append(CultureInfo.InvariantCulture,
            $"batch {header.BaseOffset}..{header.LastOffset}  position {batch.Position}  bytes {header.SizeInBytes}");
        line.Append(CultureInfo.InvariantCulture, $"  magic {header.Magic}  crc {header.Crc:x8} "
            + $"{(batch.Fault is null ? "ok" : batch.Fault.Error == RecordBatchError.BadCrc ? "WRONG" : "?")}");
        line.Append(CultureInfo.InvariantCulture, $"  epoch {header.PartitionLeaderEpoch}  codec "
            + $"{header.Compression.ToString().ToLowerInvariant()}  records {header.RecordCount}");
        line.Append(CultureInfo.InvariantCulture,
            $"  time {Time(header.BaseTimestamp)}..{Time(header.MaxTimestamp)}{(header.IsLogAppendTime ? " (append time)" : "")}");
        if (header.HasProducer)
            line.Append(CultureInfo.InvariantCulture,
                $"  producer {header.ProducerId} epoch {header.ProducerEpoch} sequence {header.BaseSequence}..{header.LastSequence}");
        if (header.IsTransactional)
            line.Append("  transactional");
        if (header.IsControl)
            line.Append("  control");
        if (header.HasDeleteHorizon)
            line.Append("  delete-horizon");
        return line.ToString();
    }

    private static string Time(long milliseconds) =>
        milliseconds is >= 0 and <= 253_402_300_799_999 // the last millisecond of the year 9999
            ? DateTimeOffset.FromUnixTimeMilliseconds(milliseconds).ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture)
            : milliseconds.ToString(CultureInfo.InvariantCulture);

    /// <summary>Formats text in quotes with control characters escaped, other bytes as hex. Long values are truncated.</summary>
    private static string Show(ReadOnlyMemory<byte>? bytes)
    {
        if (bytes is not { } all)
            return "null";
        var shown = all.Span[..Math.Min(all.Length, ShownBytes)];
        // Truncation may split a character. It is omitted instead of being shown as damaged.
        var text = Text(all.Length > ShownBytes ? WholeCharacters(shown) : shown) ?? "0x" + Convert.ToHexStringLower(shown);
        return all.Length > ShownBytes ? $"{text}... ({all.Length} bytes)" : text;
    }

    private static string? Text(ReadOnlySpan<byte> bytes)
    {
        if (!System.Text.Unicode.Utf8.IsValid(bytes))
            return null;
        var quoted = new StringBuilder(bytes.Length + 2).Append('"');
        foreach (var character in Encoding.UTF8.GetString(bytes))
        {
            _ = character switch
            {
                '"' or '\\' => quoted.Append('\\').Append(character),
                '\n' => quoted.Append("\\n"),
                '\r' => quoted.Append("\\r"),
                '\t' => quoted.Append("\\t"),
                _ when char.IsControl(character) => quoted.Append(CultureInfo.InvariantCulture, $"\\u{(int)character:x4}"),
                _ => quoted.Append(character),
            };
        }
        return quoted.Append('"').ToString();
    }

    private static ReadOnlySpan<byte> WholeCharacters(ReadOnlySpan<byte> bytes)
    {
        var end = bytes.Length;
        for (var i = 1; i <= Math.Min(3, bytes.Length); i++)
        {
            var b = bytes[^i];
            if (b < 0x80)
                break;
            if (b >= 0xC0)
            {
                end = bytes.Length - i;
                break;
            }
        }
        return bytes[..end];
    }
}
