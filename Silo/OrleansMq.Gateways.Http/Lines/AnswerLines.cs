using System.Buffers;
using System.Buffers.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using OrleansMq.Api;

namespace OrleansMq.Gateways.Http.Lines;

/// <summary>The lines of the answer to a produce request.</summary>
internal static class AnswerLines
{
    private static readonly JsonWriterOptions Readable = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The length of the longest line of <see cref="WriteOffset"/>, in bytes.</summary>
    public const int MaxOffsetLine = 64;

    /// <summary>Writes <c>{"partition":0,"offset":17}</c>.</summary>
    public static void WriteOffset(IBufferWriter<byte> output, int partition, long offset)
    {
        var line = output.GetSpan(MaxOffsetLine);
        var at = 0;
        Append(line, ref at, "{\"partition\":"u8);
        Append(line, ref at, partition);
        Append(line, ref at, ",\"offset\":"u8);
        Append(line, ref at, offset);
        Append(line, ref at, "}\n"u8);
        output.Advance(at);
    }

    /// <summary>Writes <c>{"error":"..","code":"MessageTooLarge","retriable":false,"partition":0}</c>.</summary>
    public static void WriteRefusal(IBufferWriter<byte> output, int partition, ProduceResult result) =>
        WriteError(output, result.Error, result.Message ?? result.Error.ToString(), "partition", partition);

    /// <summary>Writes <c>{"error":"line 3: value: ..","code":"InvalidRequest","retriable":false,"line":3}</c>.</summary>
    public static void WriteFault(IBufferWriter<byte> output, StreamFault fault) =>
        WriteError(output, fault.Code, fault.Message, "line", fault.Line);

    private static void WriteError(IBufferWriter<byte> output, ErrorCode code, string message, string whereName, long where)
    {
        using (var json = new Utf8JsonWriter(output, Readable))
        {
            json.WriteStartObject();
            json.WriteString("error"u8, message);
            json.WriteString("code"u8, code.ToString());
            json.WriteBoolean("retriable"u8, code.Action() == ErrorAction.Retry);
            json.WriteNumber(whereName, where);
            json.WriteEndObject();
        }
        output.Write("\n"u8);
    }

    private static void Append(Span<byte> line, ref int at, ReadOnlySpan<byte> text)
    {
        text.CopyTo(line[at..]);
        at += text.Length;
    }

    private static void Append(Span<byte> line, ref int at, long number)
    {
        Utf8Formatter.TryFormat(number, line[at..], out var written);
        at += written;
    }
}

/// <summary>Why a produce stream ended before its input. That line and the following ones were not appended.</summary>
/// <param name="Line">The line's number, from 1.</param>
/// <param name="Code">The broker API's error code.</param>
/// <param name="Message">The line, the field and the fix.</param>
internal sealed record StreamFault(long Line, ErrorCode Code, string Message)
{
    /// <summary>The HTTP status where nothing was appended; null: that of the code.</summary>
    public int? Status { get; init; }
}
