using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.Client.EndToEnd;

namespace OrleansMq.Tests.Silo.Client;

/// <summary>The client over HTTP.</summary>
public sealed class HttpClientTests : ClientEndToEnd, IClassFixture<RunningBroker>, IDisposable
{
    private readonly HttpBroker _broker;

    public HttpClientTests(RunningBroker running)
    {
        _broker = new HttpBroker(new Uri(running.Server.Address));
        Client = new OrleansMqClient(_broker);
    }

    protected override OrleansMqClient Client { get; }

    public void Dispose() => _broker.Dispose();
}

/// <summary>The client's transactions over HTTP.</summary>
public sealed class HttpClientTransactionTests : TransactionEndToEnd, IClassFixture<RunningBroker>, IDisposable
{
    private readonly HttpBroker _broker;

    public HttpClientTransactionTests(RunningBroker running)
    {
        _broker = new HttpBroker(new Uri(running.Server.Address));
        Client = new OrleansMqClient(_broker);
    }

    protected override OrleansMqClient Client { get; }

    public void Dispose() => _broker.Dispose();
}

/// <summary>A producer over HTTP while its broker restarts.</summary>
public sealed class HttpRestartTests
{
    [Fact]
    public async Task Producer_survives_a_restart_without_loss_or_duplicates()
    {
        const int Count = 20_000;
        var running = new RunningBroker();
        await running.InitializeAsync();
        var address = new Uri(running.Server.Address);
        using var broker = new HttpBroker(address);
        var client = new OrleansMqClient(broker);
        await client.Admin.CreateTopicAsync("ridden", 2);
        var delivered = 0;
        await using (var producer =
            client.CreateProducer<Ignore, string>(new ProducerOptions { BatchSize = 2048, RetryBackoff = TimeSpan.FromMilliseconds(10) }))
        {
            for (var i = 0; i < Count; i++)
            {
                await producer.EnqueueAsync(new("ridden", default, $"{i}") { Partition = i % 2 },
                    report => Interlocked.Add(ref delivered, report.Error is null ? 1 : 0));
                if (i == Count / 2)
                    running = await running.RestartAsync();
            }
        }

        Assert.Equal(Count, delivered);
        await using (var reader = client.CreatePartitionReader<Ignore, string>())
        {
            for (var partition = 0; partition < 2; partition++)
            {
                reader.Assign(new TopicPartition("ridden", partition), ReadFrom.Earliest);
                for (var i = partition; i < Count; i += 2)
                    Assert.Equal($"{i}", (await reader.ReadAsync().AsTask().WaitAsync(RunningBroker.Patience)).Value);
                reader.Unassign(new TopicPartition("ridden", partition));
            }
        }
        await running.DisposeAsync();
    }

    [Fact]
    public async Task Unreachable_broker_is_distinguished_from_a_refusal()
    {
        var running = new RunningBroker();
        await running.InitializeAsync();
        var address = new Uri(running.Server.Address);
        await running.DisposeAsync();
        using var broker = new HttpBroker(address);

        var error = await Assert.ThrowsAsync<BrokerUnreachableException>(async () => await broker.ListTopicsAsync());
        var produced = await broker.ProduceAsync(new TopicPartition("t", 0), new byte[61], Acks.All);
        using var fetched = await broker.FetchAsync(new FetchRequest(new TopicPartition("t", 0), 0));
        var found = await broker.FindOffsetAsync(new TopicPartition("t", 0), OffsetSpec.Latest);

        Assert.Contains(address.Authority, error.Message, StringComparison.Ordinal);
        Assert.Equal(ErrorCode.LeaderNotAvailable, error.Code);
        Assert.Equal((ErrorCode.LeaderNotAvailable, ErrorCode.LeaderNotAvailable, ErrorCode.LeaderNotAvailable),
            (produced.Error, fetched.Error, found.Error));
    }
}
