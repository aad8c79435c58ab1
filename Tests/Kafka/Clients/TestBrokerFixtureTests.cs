using System.Runtime.CompilerServices;
using Confluent.Kafka;
using OrleansMq.Testing;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Clients;

// fixture
public sealed class BrokerFixture : IAsyncLifetime
{
    public ManualTimeProvider Clock { get; } = new(DateTimeOffset.UtcNow);

    public TestBroker Broker { get; private set; } = null!;

    public async Task InitializeAsync() => Broker = await TestBroker.StartAsync(new() { Kafka = true, TimeProvider = Clock });

    public async Task DisposeAsync() => await Broker.DisposeAsync();
}
// end of fixture

/// <summary>A user's own tests over a broker in their process, as shown by Client/README.md.</summary>
public sealed class TestBrokerFixtureTests(BrokerFixture fixture) : IClassFixture<BrokerFixture>
{
    [Fact]
    public void Client_readme_shows_this_code() =>
        ReadmeSection.AssertIs("Client/README.md", $"```csharp\n{Region("fixture")}\n```\n\n```csharp\n{Region("test")}\n```\n",
            "<!-- test broker: from TestBrokerFixtureTests.cs -->", "<!-- end of test broker -->");

    [SkippableFact]
    public async Task Kafka_client_writes_and_reads_under_the_test_clock()
    {
        Librdkafka.Require();
        // test
        using var producer =
            new ProducerBuilder<string, string>(new ProducerConfig { BootstrapServers = fixture.Broker.KafkaAddress }).Build();
        await producer.ProduceAsync("orders", new() { Key = "customer-7", Value = "two apples" });

        using var consumer = new ConsumerBuilder<string, string>(new ConsumerConfig
        {
            BootstrapServers = fixture.Broker.KafkaAddress,
            GroupId = "billing",
            AutoOffsetReset = AutoOffsetReset.Earliest,
        }).Build();
        consumer.Subscribe("orders");
        Assert.Equal("two apples", consumer.Consume(TimeSpan.FromSeconds(30)).Message.Value);

        fixture.Clock.Advance(TimeSpan.FromDays(8));    // retention.ms is a week
        // end of test
        var deadline = DateTime.UtcNow + KafkaServer.Patience;
        while (consumer.QueryWatermarkOffsets(new("orders", 0), KafkaServer.Patience).Low.Value == 0)
        {
            Assert.True(DateTime.UtcNow < deadline, "The record was not deleted.");
            await Task.Delay(TimeSpan.FromMilliseconds(20));
        }
    }

    private static string Region(string name, [CallerFilePath] string path = "")
    {
        var lines = File.ReadAllLines(path);
        var (from, to) = (Array.FindIndex(lines, line => line.Trim() == $"// {name}"),
            Array.FindIndex(lines, line => line.Trim() == $"// end of {name}"));
        var indent = lines[from].Length - lines[from].TrimStart().Length;
        return string.Join('\n', lines[(from + 1)..to].Select(line => line.Length > indent ? line[indent..] : ""));
    }
}
