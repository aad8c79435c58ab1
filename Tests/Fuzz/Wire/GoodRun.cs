using System.Diagnostics;
using System.Globalization;

namespace OrleansMq.Tests.Fuzz.Wire;

/// <summary>What a client that behaves well does beside hostile ones: it appends a record, reads it, and in the end reads all. Every
/// request must succeed in time, and every acknowledged record must be there once.</summary>
/// <param name="name">The client's name.</param>
/// <param name="client">The client.</param>
/// <param name="secret">What its records begin with.</param>
internal sealed class GoodRun(string name, IGoodClient client, string secret)
{
    // Between two records, so that it is no load of its own.
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);

    private readonly List<TimeSpan> _times = [];

    /// <summary>The acknowledged records.</summary>
    public int Count => _times.Count;

    /// <summary>Appends and reads until it is told to stop, then reads all.</summary>
    /// <exception cref="FuzzFailedException">A record is lost, doubled or damaged, or a request took too long.</exception>
    public async Task RunAsync(CancellationToken stop)
    {
        await client.ConnectAsync();
        do
        {
            var began = Stopwatch.GetTimestamp();
            var value = Value(Count);
            var offset = await InTimeAsync(client.AppendAsync(value));
            if (offset != Count)
                throw new FuzzFailedException($"{name}: record {Count} of the only writer has the offset {offset}.");
            if (await InTimeAsync(client.ReadAsync(offset)) is not [var read] || read != (offset, value))
                throw new FuzzFailedException($"{name}: record {offset} was acknowledged, and is not read.");
            _times.Add(Stopwatch.GetElapsedTime(began));
            await Task.Delay(Pause, CancellationToken.None);
        }
        while (!stop.IsCancellationRequested);
        await ReadAllAsync();
    }

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{name} {Count:N0} records, p50 "
        + $"{Percentile(50).TotalMilliseconds:F0} ms, p99 {Percentile(99).TotalMilliseconds:F0} ms");

    private async Task ReadAllAsync()
    {
        for (var next = 0; next < Count;)
        {
            var records = await InTimeAsync(client.ReadAsync(next));
            if (records.Count == 0)
                throw new FuzzFailedException($"{name}: {Count} records were acknowledged, and {next} are there.");
            foreach (var record in records)
            {
                if (record != (next, Value(next)))
                    throw new FuzzFailedException($"{name}: instead of record {next} there is {record}.");
                next++;
            }
        }
        if (await InTimeAsync(client.ReadAsync(Count)) is [var beyond, ..])
            throw new FuzzFailedException($"{name}: after its {Count} records there is {beyond}.");
    }

    private string Value(long number) => string.Create(CultureInfo.InvariantCulture, $"{secret} {number}");

    private async Task<T> InTimeAsync<T>(Task<T> request)
    {
        try
        {
            return await request.WaitAsync(Deadline);
        }
        catch (TimeoutException late)
        {
            throw new FuzzFailedException($"{name}: a request took more than {Deadline.TotalSeconds} s.", late);
        }
    }

    private TimeSpan Percentile(int percent) => Count == 0 ? TimeSpan.Zero : _times.Order().ElementAt((Count - 1) * percent / 100);
}
