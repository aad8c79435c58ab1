using System.IO.Pipelines;
using System.Text.Json;
using Microsoft.AspNetCore.Http;
using OrleansMq.Gateways.Amqp.Management.Peers;

namespace OrleansMq.Gateways.Amqp.Management;

// Connections of all brokers, their channels and consumers. Users see their own, those of the tag monitoring all. A broker that does not
// run, or does not answer, is left out.
internal sealed partial class ManagementApi
{
    // RabbitMQ's flags of what this broker has.
    private static readonly string[] FeatureFlags = ["implicit_default_bindings", "quorum_queue", "virtual_host_metadata"];

    // What writes the answer. Null: the path is none of these.
    private async Task<Func<HttpContext, Task>?> ReadConnectionsAsync(ManagementRequest request, string[] path)
    {
        var viewer = request.User.IsMonitoring ? null : request.User.State.Name;
        var connections = new PeerQuestion(QuestionKind.Connections) { Viewer = viewer };
        var channels = new PeerQuestion(QuestionKind.Channels) { Viewer = viewer };
        switch (path)
        {
            case ["connections"]:
                return ListOf(connections);
            case ["connections", "username", var user]:
                return ListOf(connections with { User = user });
            case ["connections", var name]:
                var found = await FindAsync(request, connections with { Connection = name }).ConfigureAwait(false);
                return context => WriteAsync(context, StatusCodes.Status200OK,
                    writer => writer.WriteRawValue(found.Page!.First.Span, skipInputValidation: true));
            case ["connections", var name, "channels"]:
                var home = await FindAsync(request, connections with { Connection = name }).ConfigureAwait(false);
                return ListOf(channels with { Connection = name }, home.Broker);
            case ["vhosts", var host, "connections" or "channels"]:
                await request.SeeAsync(host).ConfigureAwait(false);
                return ListOf((path[2] == "channels" ? channels : connections) with { VirtualHost = host });
            case ["channels"]:
                return ListOf(channels);
            case ["channels", var name]:
                var channel = await FindAsync(request, channels with { Channel = name }).ConfigureAwait(false);
                return context => WriteChannelAsync(context, channel, new PeerQuestion(QuestionKind.Consumers)
                {
                    Viewer = viewer,
                    Channel = name,
                });
            case ["consumers"]:
                return ListOf(new PeerQuestion(QuestionKind.Consumers) { Viewer = null, Hosts = HostsOf(request) });
            case ["consumers", var host]:
                await request.SeeAsync(host).ConfigureAwait(false);
                return ListOf(new PeerQuestion(QuestionKind.Consumers) { Viewer = null, VirtualHost = host });
            default:
                return null;
        }
    }

    private async Task<int> CloseConnectionsAsync(ManagementRequest request, string[] path)
    {
        var given = request.Context.Request.Headers["X-Reason"].ToString();
        var question = new PeerQuestion(QuestionKind.Close)
        {
            Viewer = request.User.IsAdministrator ? null : request.User.State.Name,
            Reason = given.Length > 0 ? given : "Closed via management plugin",
        };
        if (path is ["connections", "username", var user])
        {
            ManagementUser.Demand(request.User.IsAdministrator || request.User.State.Name == user, "administrator");
            var pages = await _cluster.AskAsync(_cluster.Brokers, question with { User = user }, request.Context.RequestAborted)
                .ConfigureAwait(false);
            DemandAnswers(_cluster.SilentOf(pages));
        }
        else
        {
            await FindAsync(request, question with { Connection = path[1] }).ConfigureAwait(false);
        }
        return StatusCodes.Status204NoContent;
    }

    private async Task<BrokerPage> FindAsync(ManagementRequest request, PeerQuestion question)
    {
        var finding = await _cluster.FindAsync(question, request.Context.RequestAborted).ConfigureAwait(false);
        if (finding is { Found: null, IsRefused: true })
            throw ManagementException.NotAuthorized("User not authorized to access object");
        // Lists leave out what does not answer; that a connection is closed must not be said of one that may be open: a silent broker may
        // have one of that name, too.
        if (question.Kind == QuestionKind.Close)
            DemandAnswers(finding.Silent);
        return finding.Found ?? throw ManagementException.NotFound();
    }

    private static void DemandAnswers(IReadOnlyList<int> silent)
    {
        if (silent.Count > 0)
        {
            throw ManagementException.Unavailable("these brokers have not answered, and their connections may be open: "
                + $"{string.Join(", ", silent.Select(BrokerAnswers.NodeOf))}. Retry");
        }
    }

    // Null: all.
    private static IReadOnlySet<string>? HostsOf(ManagementRequest request) => request.User.IsMonitoring ? null
        : request.Visible.Select(static host => host.Name).ToHashSet(StringComparer.Ordinal);

    private async Task<ClusterTotals> CountAsync(ManagementRequest request)
    {
        var pages = await _cluster.AskAsync(_cluster.Brokers, new PeerQuestion(QuestionKind.Totals)
        {
            Viewer = request.User.IsMonitoring ? null : request.User.State.Name,
            Hosts = HostsOf(request),
            HasListeners = request.User.IsMonitoring,
        }, request.Context.RequestAborted).ConfigureAwait(false);
        var totals = new ClusterTotals();
        foreach (var page in pages)
        {
            if (page.Page is { First.IsEmpty: false } answer)
                totals.Add(answer.First);
        }
        return totals;
    }

    private Func<HttpContext, Task> ListOf(PeerQuestion question, int? only = null) =>
        context => WriteListAsync(context, question, only is { } one ? [one] : _cluster.Brokers);

    private Task WriteListAsync(HttpContext context, PeerQuestion question, int[] brokers) => WriteItemsAsync(context, question, brokers,
        static writer => writer.WriteStartArray(), static writer => writer.WriteEndArray());

    // With its consumers behind its own fields.
    private Task WriteChannelAsync(HttpContext context, BrokerPage found, PeerQuestion consumers) => WriteItemsAsync(context, consumers,
        [found.Broker], writer =>
        {
            using var channel = JsonDocument.Parse(found.Page!.First);
            writer.WriteStartObject();
            foreach (var field in channel.RootElement.EnumerateObject())
                field.WriteTo(writer);
            writer.WriteStartArray("consumer_details");
        }, static writer =>
        {
            writer.WriteEndArray();
            writer.WriteEndObject();
        });

    // Sent page by page: in memory are the first pages of the brokers, and one more.
    private async Task WriteItemsAsync(HttpContext context, PeerQuestion question, int[] brokers, Action<Utf8JsonWriter> begin,
        Action<Utf8JsonWriter> end)
    {
        if (HttpMethods.IsHead(context.Request.Method))
        {
            BeginAnswer(context, StatusCodes.Status200OK);
            return;
        }
        using var lease = BeginPages(brokers.Count(_cluster.IsAlive));
        var pages = await _cluster.AskAsync(brokers, question, context.RequestAborted).ConfigureAwait(false);
        BeginAnswer(context, StatusCodes.Status200OK);
        await context.Response.StartAsync(context.RequestAborted).ConfigureAwait(false);
        var output = context.Response.BodyWriter;
        var writer = new Utf8JsonWriter(output, Json);
        await using (writer.ConfigureAwait(false))
        {
            begin(writer);
            foreach (var page in pages)
                await WritePagesAsync(writer, output, question, page, context.RequestAborted).ConfigureAwait(false);
            end(writer);
        }
    }

    // Where a broker ends meanwhile, the rest of its items is left out. The answer breaks off where one that runs says no more.
    private async Task WritePagesAsync(Utf8JsonWriter writer, PipeWriter output, PeerQuestion question, BrokerPage first,
        CancellationToken ended)
    {
        var page = first.Page;
        var place = question.After;
        while (page is not null)
        {
            page.CopyTo(writer);
            writer.Flush();
            await output.FlushAsync(ended).ConfigureAwait(false);
            if (page.Next is not { } next || !next.IsBehind(place))
                return;
            place = next;
            page = await _cluster.AskAsync(first.Broker, question with { After = next }, ended).ConfigureAwait(false);
            if (page is null && _cluster.IsAlive(first.Broker))
                throw ManagementException.Unavailable($"{BrokerAnswers.NodeOf(first.Broker)} has not answered for the rest: retry");
        }
    }

    private RequestLease BeginPages(int brokers)
    {
        var lease = _pages.Begin();
        if (lease.TryTake((brokers + 1L) * PeerPage.Bytes))
            return lease;
        throw ManagementException.Unavailable("other lists have all the memory for pages: retry");
    }

    private static void WriteFeatureFlag(Utf8JsonWriter writer, string name)
    {
        writer.WriteString("name", name);
        writer.WriteString("state", "enabled");
        writer.WriteString("stability", "required");
        writer.WriteString("provided_by", "orleansmq");
        writer.WriteString("desc", "");
        writer.WriteString("doc_url", "");
    }
}
