using System.Text;
using BenchmarkDotNet.Attributes;
using OrleansMq.Filters;
using OrleansMq.Records;
using Record = OrleansMq.Records.Record;

namespace OrleansMq.Tests.Benchmarks;

/// <summary>Evaluating a filter for one record with five headers.</summary>
[MemoryDiagnoser]
public class FilterBenchmarks
{
    private readonly RecordFilter _tags = TagFilter.Parse("created || paid || sent", "tags");
    private readonly RecordFilter _simple = SqlFilter.Parse("amount > 99.5 AND region IN ('eu', 'us')");
    private readonly RecordFilter _like = SqlFilter.Parse("customer LIKE '%-42-_%' AND (urgent OR amount BETWEEN 100 AND 200)");
    private Record _record;

    [GlobalSetup]
    public void Setup()
    {
        using var builder = new RecordBatchBuilder();
        builder.Add(0, default, hasKey: false, "value"u8, hasValue: true, [Header("tags", "paid"), Header("amount", "120.25"),
            Header("region", "us"), Header("customer", "customer-0017-42-x9"), Header("urgent", "false")]);
        using var reader = new RecordReader(builder.Build().ToArray(), CompressionCodecs.Empty);
        reader.MoveNext();
        _record = reader.Current;
    }

    [Benchmark]
    public bool Tags() => _tags.Matches(_record);

    [Benchmark]
    public bool Simple() => _simple.Matches(_record);

    [Benchmark]
    public bool Like() => _like.Matches(_record);

    private static RecordHeader Header(string name, string value) => new(Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(value));
}
