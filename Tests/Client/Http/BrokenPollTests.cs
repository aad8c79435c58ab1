using System.Net;
using System.Net.Http.Json;
using Microsoft.Extensions.Logging;
using OrleansMq.Api;
using OrleansMq.Client;
using OrleansMq.Tests.Client.Consuming;

namespace OrleansMq.Tests.Client.Http;

/// <summary>Members of a group behind a proxy that breaks their long polls.</summary>
public sealed class BrokenPollTests : ConsumerFixture
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Member_whose_poll_broke_off_hands_out_records_for_the_grace_of_the_coordinator(bool answers)
    {
        Groups.FirstAssignment = [All(0)];
        using var proxy = new Proxy(Groups, answers);
        using var http = new HttpClient(proxy);
        using var broker = new HttpBroker(http, new Uri("http://broker"));
        var client = new OrleansMqClient(new GroupedBroker(Test.Broker, new Members(broker.Groups, Groups)), loggers: Log);
        await SendAsync(0, "a", "b", "c");
        var heard = new Heard();
        await using var consumer = client.CreateConsumer<string, string>(Options(heard) with
        {
            AutoCommit = false,
            SessionTimeout = TimeSpan.FromSeconds(45),
            Reader = new() { TimeProvider = Clock },
        });
        consumer.Subscribe(Topic);
        Assert.Equal("a", (await consumer.ReadAsync().SoonAsync()).Value);
        await Wait.UntilAsync(() => Groups.Heartbeats[^1].MaxWait > TimeSpan.Zero, "the long poll");

        proxy.Break();
        await Wait.UntilAsync(() => Log.At(LogLevel.Warning).Any(static line =>
            line.Contains("heartbeat failed: CoordinatorNotAvailable", StringComparison.Ordinal)), "the broken poll");
        Clock.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal("b", (await consumer.ReadAsync().SoonAsync()).Value);
        Clock.Advance(TimeSpan.FromSeconds(2));
        Assert.Null(await consumer.ReadAsync(TimeSpan.Zero));
        await Wait.UntilAsync(() => heard.All.Contains("lost 0"), "it is lost");
        Assert.Contains(Log.At(LogLevel.Warning), static line => line.Contains("after a heartbeat broke off", StringComparison.Ordinal));
    }

    /// <summary>Sends heartbeats to one coordinator, and everything else to another.</summary>
    private sealed class Members(IGroupCoordinator heartbeats, IGroupCoordinator others) : IGroupCoordinator
    {
        public ValueTask<TResult> SendAsync<TResult>(IGroupRequest<TResult> request, CancellationToken cancellationToken = default) =>
            (request is ConsumerGroupHeartbeat ? heartbeats : others).SendAsync(request, cancellationToken);

        public ValueTask<int> FindCoordinatorAsync(string groupId, CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();
        public ValueTask<IReadOnlyList<GroupListing>> ListGroupsAsync(CancellationToken cancellationToken = default) =>
            throw new NotSupportedException();
    }

    /// <summary>Passes heartbeats on until it breaks, and refuses connections afterwards.</summary>
    private sealed class Proxy(ScriptedGroups groups, bool answers) : HttpMessageHandler
    {
        private readonly TaskCompletionSource _broken = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Break() => _broken.SetResult();

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            if (_broken.Task.IsCompleted)
                throw new HttpRequestException(HttpRequestError.ConnectionError, "refused");
            var body = await request.Content!.ReadFromJsonAsync(GroupJson.Default.ConsumerHeartbeatBody, cancellationToken);
            var answer = groups.SendAsync(body!.ToRequest(), cancellationToken).AsTask();
            if (await Task.WhenAny(answer, _broken.Task) == answer)
            {
                return new HttpResponseMessage(HttpStatusCode.OK)
                {
                    Content = JsonContent.Create(ConsumerHeartbeatAnswer.Of(await answer), GroupJson.Default.ConsumerHeartbeatAnswer),
                };
            }
            return answers ? new HttpResponseMessage(HttpStatusCode.BadGateway)
                : throw new HttpRequestException(HttpRequestError.ResponseEnded, "broken");
        }
    }
}
