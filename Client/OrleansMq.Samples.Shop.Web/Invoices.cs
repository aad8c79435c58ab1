using System.Collections.Concurrent;
using OrleansMq.Client;

namespace OrleansMq.Samples.Shop.Web;

/// <summary>The read model: the last invoice of each order, in memory. The compacted topic has them all, so each process reads it from the
/// start.</summary>
internal sealed class Invoices(OrleansMqClient client) : BackgroundService
{
    private readonly ConcurrentDictionary<string, Invoice> _byOrder = new(StringComparer.Ordinal);

    /// <summary>Returns an order's invoice; null if it has none yet.</summary>
    public Invoice? Find(string orderId) => _byOrder.GetValueOrDefault(orderId);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await using var reader = client.CreatePartitionReader<string, Invoice>();
        reader.Assign(await client.Admin.ListPartitionsAsync(Topics.Invoices, stoppingToken), ReadFrom.Earliest);
        await foreach (var record in reader.WithCancellation(stoppingToken))
            _byOrder[record.Key] = record.Value;
    }
}
