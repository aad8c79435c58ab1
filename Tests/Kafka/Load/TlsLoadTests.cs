using OrleansMq.Tests.Benchmarks;
using OrleansMq.Tests.Benchmarks.Peers.Load;
using OrleansMq.Tests.Kafka.Connections;
using OrleansMq.Tests.Shared;

namespace OrleansMq.Tests.Kafka.Load;

/// <summary>The load generator over TLS.</summary>
public sealed class TlsLoadTests : IDisposable
{
    private readonly TestCertificateFiles _files = new();

    public void Dispose() => _files.Dispose();

    [Theory]
    [InlineData(1, 1, 1000)]
    [InlineData(8, 3, 1000)]
    [InlineData(20, 20, 1000)]
    // A request has more than one TLS record, and more than is collected.
    [InlineData(1, 1, 300_000)]
    public async Task Produced_records_are_fetched(int partitions, int connections, int batchBytes)
    {
        await using var server = await StartAsync();
        var load = Load(server, _files.AuthorityFile) with { Partitions = partitions, Connections = connections, BatchBytes = batchBytes };
        var produced = LoadRun.Run(load);
        Assert.True(produced.Records >= load.Records);
        Assert.Equal(produced.Records, LoadRun.Run(load with { IsProduce = false, Records = 0 }).Records);
    }

    [Fact]
    public async Task Fixed_rate_sends_everything()
    {
        await using var server = await StartAsync();
        var load = Load(server, _files.AuthorityFile) with { Rate = 1e9, Connections = 2, InFlight = 2 };
        Assert.True(LoadRun.Run(load).Records >= load.Records);
    }

    [Fact]
    public async Task Transactions_are_committed()
    {
        await using var server = await StartAsync();
        var options = TransactionOptions.Parse(new CommandArguments(["--bootstrap", server.Address, "--topic", "t", "--partitions", "2",
            "--producers", "2", "--transactions", "10", "--tls-ca", _files.AuthorityFile]));
        Assert.Equal(10, TransactionLoad.Run(options).Transactions);
    }

    [Fact]
    public async Task Certificate_of_another_authority_is_refused()
    {
        await using var server = await StartAsync();
        using var others = new TestCertificateFiles();
        var failure = Assert.Throws<LoadFailedException>(() => LoadRun.Run(Load(server, others.AuthorityFile)));
        Assert.StartsWith($"{server.Address}: TLS failed: ", failure.Message, StringComparison.Ordinal);
        Assert.EndsWith("The port must have TLS, and its certificate, with the name '127.0.0.1', must come from an authority in --tls-ca.",
            failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Port_without_TLS_is_reported()
    {
        await using var server = await KafkaServer.StartAsync();
        var failure = Assert.Throws<LoadFailedException>(() => LoadRun.Run(Load(server, _files.AuthorityFile)));
        Assert.StartsWith($"{server.Address}: TLS failed: ", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Unreadable_authorities_are_reported_with_their_option()
    {
        var absent = _files.PathOf("absent.pem");
        Assert.StartsWith($"--tls-ca: '{absent}' cannot be read: ",
            Assert.Throws<LoadFailedException>(() => LoadOptions.TrustedBy(Arguments(absent))).Message, StringComparison.Ordinal);
        var empty = _files.Write("empty.pem", "");
        Assert.Equal($"--tls-ca: '{empty}' holds no certificate: take the PEM file of the authority.",
            Assert.Throws<LoadFailedException>(() => LoadOptions.TrustedBy(Arguments(empty))).Message);
    }

    private Task<KafkaServer> StartAsync() => KafkaServer.StartAsync(options => options with { Tls = _files.Server() });

    private static CommandArguments Arguments(string authorities) => new(["--tls-ca", authorities]);

    private static LoadOptions Load(KafkaServer server, string authorities) => new()
    {
        IsProduce = true,
        Bootstrap = server.Address,
        Topic = "t",
        Records = 5000,
        RecordBytes = 50,
        BatchBytes = 1000,
        Authorities = LoadOptions.TrustedBy(Arguments(authorities)),
    };
}
