using System.Buffers.Binary;
using OrleansMq.Tests.Fuzz.Cases;
using OrleansMq.Tests.Fuzz.Wire;

namespace OrleansMq.Tests.Fuzz;

/// <summary>What the run must notice, and that a seed repeats what it did.</summary>
public sealed class CheckerTests
{
    private const short Metadata = 3, ApiVersions = 18;

    [Theory]
    [InlineData(Fault.None, null)]
    [InlineData(Fault.Lost, "is not read")]
    [InlineData(Fault.LostLater, "instead of record 0")]
    [InlineData(Fault.Doubled, "has the offset 2")]
    [InlineData(Fault.DoubledLater, "after its 3 records")]
    [InlineData(Fault.Damaged, "is not read")]
    public async Task Record_that_is_lost_doubled_or_damaged_is_noticed(Fault fault, string? expected)
    {
        using var client = new FaultyClient(fault);
        var run = new GoodRun("test", client, "secret").RunAsync(client.Stop);
        if (expected is null)
            await run;
        else
            Assert.Contains(expected, (await Assert.ThrowsAsync<FuzzFailedException>(() => run)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Answers_in_the_order_of_their_requests_are_right_also_where_some_are_left_out()
    {
        var conversation = Sent(HostilePort.Kafka, (Metadata, 1), (Metadata, 2), (Metadata, 3));
        Answers.Check(conversation, Answered(1, 2, 3), "secret"u8);
        Answers.Check(conversation, Answered(1, 3), "secret"u8);
        Answers.Check(conversation, Answered(1, 2).AsSpan(0, 15), "secret"u8);
        Answers.Check(conversation, [], "secret"u8);
    }

    [Theory]
    [InlineData(1, 4)]
    [InlineData(2, 1)]
    [InlineData(1, 1)]
    public void Answer_to_no_request_of_the_connection_is_noticed(int first, int second)
    {
        var conversation = Sent(HostilePort.Kafka, (Metadata, 1), (Metadata, 2), (Metadata, 3));
        Assert.Contains("correlation id", Assert.Throws<FuzzFailedException>(() =>
            Answers.Check(conversation, Answered(first, second), "secret"u8)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Answer_before_authentication_is_noticed()
    {
        var conversation = Sent(HostilePort.Sasl, (ApiVersions, 1), (Metadata, 2));
        Answers.Check(conversation, Answered(1), "secret"u8);
        Answers.Check(conversation with { IsAuthenticated = true }, Answered(1, 2), "secret"u8);
        Assert.Contains("has not authenticated", Assert.Throws<FuzzFailedException>(() =>
            Answers.Check(conversation, Answered(1, 2), "secret"u8)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Record_of_another_client_and_a_fault_of_the_server_are_noticed()
    {
        var http = new Conversation(HostilePort.Http, []);
        Answers.Check(http, "HTTP/1.1 400 Bad Request\r\n\r\n"u8, "secret"u8);
        Assert.Throws<FuzzFailedException>(() => Answers.Check(http, "HTTP/1.1 200 OK\r\n\r\na secret"u8, "secret"u8));
        Assert.Throws<FuzzFailedException>(() => Answers.Check(http, "HTTP/1.1 500 Internal Server Error\r\n\r\n"u8, "secret"u8));
        Assert.Throws<FuzzFailedException>(() => Answers.Check(http, "\0\0"u8, "secret"u8));
    }

    [Fact]
    public void Seed_makes_the_same_bytes_again_and_seeds_reach_every_port()
    {
        var hello = new byte[200];
        var (first, second) = (new Conversations(hello, "a.b.c"), new Conversations(hello, "a.b.c"));
        var ports = new HashSet<HostilePort>();
        var same = 0;
        for (var seed = 0; seed < 500; seed++)
        {
            var conversation = first.Of(seed);
            ports.Add(conversation.Port);
            // SCRAM's nonces alone are not from the seed.
            if (conversation.Port == HostilePort.Sasl && !conversation.IsAuthenticated)
                continue;
            Assert.Equal(conversation.Pieces, second.Of(seed).Pieces);
            same++;
        }
        Assert.True(same > 300, $"{same} were compared.");
        Assert.Equal(Enum.GetValues<HostilePort>()[1..], ports.Order());
        Assert.True(first.Kinds > 200, $"{first.Kinds} kinds of requests.");
    }

    [Theory]
    [InlineData("--seed 5 --frames 1", 5, 1, 0)]
    [InlineData("--seconds 7 --seed 5", 5, 0, 7)]
    [InlineData("--seed 5", 5, 0, 60)]
    public void Options_are_parsed(string line, long seed, long frames, int seconds)
    {
        var options = FuzzOptions.Parse(line.Split(' '))!;
        Assert.Equal((seed, frames, seconds), (options.Seed, options.Frames, options.Seconds));
        Assert.Null(FuzzOptions.Parse([.. line.Split(' '), "--more"]));
    }

    [Fact]
    public void Frames_of_amqp_are_for_runs_without_sockets_alone()
    {
        Assert.True(FuzzOptions.Parse(["--in-process", "--amqp", "--frames", "1"])!.IsAmqp);
        Assert.Null(FuzzOptions.Parse(["--amqp", "--frames", "1"]));
    }

    private static Conversation Sent(HostilePort port, params (short Key, int Id)[] requests)
    {
        byte[][] frames = [.. requests.Select(static request =>
        {
            var frame = new byte[12];
            BinaryPrimitives.WriteInt16BigEndian(frame, request.Key);
            BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(4), request.Id);
            return frame;
        })];
        return new Conversation(port, frames) { Requests = frames };
    }

    private static byte[] Answered(params int[] ids) => [.. ids.SelectMany(static id => (byte[])[0, 0, 0, 5, 0, 0, 0, (byte)id, 0])];

    /// <summary>What a broker may do wrong.</summary>
    public enum Fault
    {
        None = 0,
        Lost = 1,
        LostLater = 2,
        Doubled = 3,
        DoubledLater = 4,
        Damaged = 5,
    }

    /// <summary>A log with a fault. The third record is the last one.</summary>
    private sealed class FaultyClient(Fault fault) : IGoodClient
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly List<string> _log = [];

        public CancellationToken Stop => _stop.Token;

        public Task ConnectAsync() => Task.CompletedTask;

        public Task<long> AppendAsync(string value)
        {
            if (fault == Fault.Doubled && _log.Count == 1)
                _log.Add(value);
            _log.Add(fault == Fault.Damaged && _log.Count == 1 ? "x" : value);
            if (_log.Count == 3)
                _stop.Cancel();
            return Task.FromResult<long>(_log.Count - 1);
        }

        public Task<IReadOnlyList<(long Offset, string Value)>> ReadAsync(long offset)
        {
            if (fault == Fault.LostLater && offset == 0 && _log.Count == 3)
                offset = 1;
            if (fault == Fault.DoubledLater && offset == 3)
                return Task.FromResult<IReadOnlyList<(long, string)>>([(3, _log[2])]);
            return Task.FromResult<IReadOnlyList<(long, string)>>(fault == Fault.Lost && offset == 1 ? []
                : [.. _log.Select(static (value, at) => ((long)at, value)).Skip((int)offset)]);
        }

        public void Dispose() => _stop.Dispose();
    }
}
