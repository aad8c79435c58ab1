using System.Text;
using OrleansMq.Filters;
using OrleansMq.Records;
using Record = OrleansMq.Records.Record;

namespace OrleansMq.Tests.Engine.Filters;

/// <summary>Evaluates filters on the headers of a record that went through a batch.</summary>
internal static class FilterRig
{
    /// <summary>Returns a record with these headers; null is a null value.</summary>
    public static Record RecordOf(params (string Name, string? Value)[] headers) =>
        RecordOf([.. headers.Select(header => new RecordHeader(Encoding.UTF8.GetBytes(header.Name),
            header.Value is null ? (ReadOnlyMemory<byte>?)null : Encoding.UTF8.GetBytes(header.Value)))]);

    public static Record RecordOf(RecordHeader[] headers)
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(0, default, hasKey: false, "value"u8, hasValue: true, headers);
        using var reader = new RecordReader(builder.Build().ToArray(), CompressionCodecs.Empty);
        Assert.True(reader.MoveNext());
        return reader.Current;
    }

    /// <summary>Returns whether an expression matches; the headers are written as <c>name=value</c>.</summary>
    public static bool Matches(string expression, params string[] headers) => SqlFilter.Parse(expression).Matches(
        RecordOf([.. headers.Select(header => (header[..header.IndexOf('=')], (string?)header[(header.IndexOf('=') + 1)..]))]));
}
