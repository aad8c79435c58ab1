using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Grains.Brokers;
using OrleansMq.Partitions;

namespace OrleansMq.Tests.Cluster.Client;

/// <summary>The client library in a .NET service: registered on an Orleans client, or on the silo itself.</summary>
public sealed class ClientLibraryTests : IDisposable
{
    private const int Records = 5_000;
    private readonly TempDirectory _data = new();

    public void Dispose() => _data.Dispose();

    [Fact]
    public async Task Orleans_client_produces_and_reads()
    {
        await using var silo = await TestSilo.StartAsync(_data.Path,
            client: client => client.AddOrleansMqClient().AddProducer<string, string>());
        var services = silo.Client.ServiceProvider;
        Assert.IsType<GrainBroker>(services.GetRequiredService<IBroker>());
        await ProduceAndReadAsync(services.GetRequiredService<OrleansMqClient>(), services.GetRequiredService<IProducer<string, string>>());
    }

    [Fact]
    public async Task Silo_produces_and_reads_its_own_partitions()
    {
        await using var silo = await TestSilo.StartAsync(_data.Path, silo: silo => silo.AddOrleansMqClient().AddProducer<string, string>());
        await ProduceAndReadAsync(silo.Services.GetRequiredService<OrleansMqClient>(),
            silo.Services.GetRequiredService<IProducer<string, string>>());
        Assert.True(silo.Services.GetRequiredService<ILocalPartitions>().TryGet(new TopicPartition("orders", 0), out _));
    }

    private static async Task ProduceAndReadAsync(OrleansMqClient client, IProducer<string, string> producer)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        await client.Broker.CreateTopicAsync(new NewTopic("orders", 3), deadline.Token);
        var first = await producer.SendAsync(new("orders", "customer-0", "0"), deadline.Token);
        Assert.Equal(0, first.Offset);
        for (var i = 1; i < Records; i++)
            await producer.EnqueueAsync(new("orders", $"customer-{i % 10}", $"{i}"), cancellationToken: deadline.Token);
        await producer.FlushAsync(deadline.Token);

        await using var reader = client.CreatePartitionReader<string, string>();
        for (var partition = 0; partition < 3; partition++)
            reader.Assign(new TopicPartition("orders", partition), ReadFrom.Earliest);
        var lastOfKey = new Dictionary<string, int>();
        for (var i = 0; i < Records; i++)
        {
            var record = await reader.ReadAsync(deadline.Token);
            var number = int.Parse(record.Value!, System.Globalization.CultureInfo.InvariantCulture);
            Assert.Equal($"customer-{number % 10}", record.Key);
            Assert.True(number > lastOfKey.GetValueOrDefault(record.Key!, -1), "Records of one key come in order");
            lastOfKey[record.Key!] = number;
        }
        Assert.Null(await reader.ReadAsync(TimeSpan.Zero, deadline.Token));
        Assert.Equal(Enumerable.Range(Records - 10, 10), lastOfKey.Values.Order());
    }
}
