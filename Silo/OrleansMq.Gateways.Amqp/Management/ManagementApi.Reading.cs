using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using OrleansMq.Gateways.Amqp.Management.Peers;
using OrleansMq.Gateways.Amqp.Queues;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Management;

// GET.
internal sealed partial class ManagementApi
{
    // Queues that are opened together for a list.
    private const int Together = 32;

    private async Task<Action<Utf8JsonWriter>> ReadAsync(ManagementRequest request, string[] path)
    {
        var user = request.User;
        switch (path)
        {
            case ["whoami"]:
                return writer => WriteUser(writer, user.State, isHashShown: false);
            case ["overview"]:
                var totals = await CountAsync(request).ConfigureAwait(false);
                return writer => WriteOverview(writer, request, totals);
            case ["nodes"]:
                ManagementUser.Demand(user.IsMonitoring, "monitor");
                var nodes = await _cluster.AskAsync(_cluster.Brokers, new PeerQuestion(QuestionKind.Node) { Viewer = null },
                    request.Context.RequestAborted).ConfigureAwait(false);
                return writer => List(writer, nodes, WriteNode);
            case ["feature-flags"]:
                return writer => List(writer, FeatureFlags, WriteFeatureFlag, isObject: true);
            case ["vhosts"]:
                return writer => List(writer, request.Visible, WriteHost);
            case ["vhosts", var host]:
                return await OfHostAsync(request, host, WriteHost).ConfigureAwait(false);
            case ["users"] or ["users", _] or ["users", _, "permissions" or "topic-permissions"] or ["permissions"] or ["permissions", _, _]
                or ["topic-permissions"] or ["topic-permissions", _, _] or ["vhosts", _, "permissions" or "topic-permissions"]
                or ["definitions"] or ["definitions", _]:
                ManagementUser.Demand(user.IsAdministrator, "administrator");
                return await ReadUsersAsync(request, path).ConfigureAwait(false);
            case ["vhost-limits"] or ["vhost-limits", _]:
                ManagementUser.Demand(user.IsMonitoring, "monitor");
                var limited = path.Length == 1 ? request.Visible : [await request.SeeAsync(path[1]).ConfigureAwait(false)];
                return writer => List(writer, limited.Where(static one => one.Settings.IsLimited), WriteLimits, isObject: true);
            case ["policies" or "operator-policies", ..]:
                ManagementUser.Demand(user.IsPolicymaker || user.IsMonitoring, "policymaker");
                return await ReadPoliciesAsync(request, path[0] == "operator-policies", path[1..]).ConfigureAwait(false);
            case ["exchanges"]:
                return writer => List(writer, request.Visible.SelectMany(ExchangesOf), WriteExchange);
            case ["exchanges", var host]:
                var ofHost = ExchangesOf(await request.SeeAsync(host).ConfigureAwait(false));
                return writer => List(writer, ofHost, WriteExchange);
            case ["exchanges", var host, var name]:
                var exchange = ExchangesOf(await request.SeeAsync(host).ConfigureAwait(false)).FirstOrDefault(one => one.Value.Name
                    == NameOf(name)).Value ?? throw ManagementException.NotFound();
                return writer => WriteExchange(writer, (host, exchange));
            case ["queues"]:
                return await ReadQueuesAsync(request, request.Visible).ConfigureAwait(false);
            case ["queues", var host]:
                return await ReadQueuesAsync(request, [await request.SeeAsync(host).ConfigureAwait(false)]).ConfigureAwait(false);
            case ["queues", var host, var name]:
                var image = await request.SeeAsync(host).ConfigureAwait(false);
                var found = await DescribeAsync(request, image, QueueOf(image, name)).ConfigureAwait(false);
                return writer => WriteQueue(writer, found);
            case ["bindings", ..] or ["queues", _, _, "bindings"] or ["exchanges", _, _, "bindings", "source" or "destination"]:
                return await ReadBindingsAsync(request, path).ConfigureAwait(false);
            case ["aliveness-test", var host]:
                await TestAsync(request, host).ConfigureAwait(false);
                return WriteOk;
            case ["health", "checks", .. var check]:
                return Check(check, request);
            default:
                throw ManagementException.NotFound();
        }
    }

    private static async Task<Action<Utf8JsonWriter>> OfHostAsync(ManagementRequest request, string host,
        Action<Utf8JsonWriter, VirtualHostImage> write)
    {
        var image = await request.SeeAsync(host).ConfigureAwait(false);
        return writer => write(writer, image);
    }

    private static async Task<Action<Utf8JsonWriter>> ReadUsersAsync(ManagementRequest request, string[] path)
    {
        var users = request.Hosts.Users.ByName;
        switch (path)
        {
            case ["users"]:
                return writer => List(writer, users.Values, static (writer, user) => WriteUser(writer, user));
            case ["users", var name]:
                var user = users.GetValueOrDefault(name) ?? throw ManagementException.NotFound();
                return writer => WriteUser(writer, user);
            case ["definitions"]:
                var all = Definitions.Export(users.Values, [.. request.Visible.Select(StateOf)], Version);
                return writer => writer.WriteRawValue(all);
            case ["definitions", var host]:
                var one = Definitions.Export([], [StateOf(await request.SeeAsync(host).ConfigureAwait(false))], Version);
                return writer => writer.WriteRawValue(one);
        }
        var isTopic = path[0] == "topic-permissions" || path[^1] == "topic-permissions";
        var (hosts, ofUser) = path switch
        {
            ["users", var name, _] => (request.Visible, users.ContainsKey(name) ? name : throw ManagementException.NotFound()),
            ["vhosts", var host, _] => ([await request.SeeAsync(host).ConfigureAwait(false)], null),
            [_, var host, var name] => ([await request.SeeAsync(host).ConfigureAwait(false)], name),
            _ => (request.Visible, null),
        };
        var permissions = (from host in hosts
                           from pair in host.Settings.Permissions
                           where users.GetValueOrDefault(pair.Key)?.Id == pair.Value.UserId && (ofUser is null || pair.Key == ofUser)
                           select (Host: host.Name, User: pair.Key, Permissions: pair.Value)).ToArray();
        if (isTopic)
        {
            var topics = permissions.SelectMany(static item => item.Permissions.Topics,
                static (item, topic) => (item.Host, item.User, topic)).ToArray();
            return writer => List(writer, topics, static (writer, item) =>
            {
                writer.WriteString("user", item.User);
                writer.WriteString("vhost", item.Host);
                writer.WriteString("exchange", item.topic.Key);
                writer.WriteString("write", item.topic.Value.Write);
                writer.WriteString("read", item.topic.Value.Read);
            }, isObject: true);
        }
        if (path is ["permissions", _, _])
        {
            if (permissions.Length == 0)
                throw ManagementException.NotFound();
            return writer => Object(writer, () => WritePermissions(writer, permissions[0]));
        }
        return writer => List(writer, permissions, WritePermissions, isObject: true);
    }

    private static async Task<Action<Utf8JsonWriter>> ReadPoliciesAsync(ManagementRequest request, bool isOperator, string[] path)
    {
        var hosts = path.Length == 0 ? request.Visible : [await request.SeeAsync(path[0]).ConfigureAwait(false)];
        var policies = hosts.SelectMany(host => (isOperator ? host.Settings.Policies.OperatorPolicies : host.Settings.Policies.Policies)
            .Values, static (host, policy) => (Host: host.Name, Policy: policy)).ToArray();
        switch (path.Length)
        {
            case <= 1:
                return writer => List(writer, policies, WritePolicy, isObject: true);
            case 2 when policies.FirstOrDefault(item => item.Policy.Name == path[1]) is { Policy: not null } found:
                return writer => Object(writer, () => WritePolicy(writer, found));
            default:
                throw ManagementException.NotFound();
        }
    }

    private static void WriteLimits(Utf8JsonWriter writer, VirtualHostImage host)
    {
        writer.WriteString("vhost", host.Name);
        writer.WriteStartObject("value");
        DefinitionsWriter.WriteLimits(writer, host.Settings);
        writer.WriteEndObject();
    }

    private async Task<Action<Utf8JsonWriter>> ReadQueuesAsync(ManagementRequest request, IEnumerable<VirtualHostImage> hosts)
    {
        var described = new List<DescribedQueue>();
        foreach (var some in hosts.SelectMany(static host => host.Topology.Queues.OrderBy(static queue => queue.Name,
            StringComparer.Ordinal), static (host, queue) => (host, queue)).Chunk(Together))
            described.AddRange(await Task.WhenAll(some.Select(one => DescribeForListAsync(request, one.host, one.queue)))
                .ConfigureAwait(false));
        return writer => List(writer, described, WriteQueue);
    }

    // One whose messages cannot be counted keeps no others out of a list.
    private static async Task<DescribedQueue> DescribeForListAsync(ManagementRequest request, VirtualHostImage host, QueueState queue)
    {
        try
        {
            return await DescribeAsync(request, host, queue).ConfigureAwait(false);
        }
        catch (BrokerException)
        {
            return new DescribedQueue(host.Name, queue, host.Settings.Policies.SettingsOf(queue),
                host.Topology.ConsumersOf(queue).Count, null);
        }
    }

    // A queue that ends meanwhile has no messages.
    private static async Task<DescribedQueue> DescribeAsync(ManagementRequest request, VirtualHostImage host, QueueState queue)
    {
        var settings = host.Settings.Policies.SettingsOf(queue);
        try
        {
            return new DescribedQueue(host.Name, queue, settings, host.Topology.ConsumersOf(queue).Count,
                await request.Registry.CountAsync(host.Name, queue).ConfigureAwait(false));
        }
        catch (QueueGoneException)
        {
            return new DescribedQueue(host.Name, queue, settings, 0, default(QueueCounts));
        }
    }

    private static async Task<Action<Utf8JsonWriter>> ReadBindingsAsync(ManagementRequest request, string[] path)
    {
        var hosts = path.Length == 1 ? request.Visible : [await request.SeeAsync(path[1]).ConfigureAwait(false)];
        Func<BindingState, bool> isWanted = path switch
        {
            ["bindings"] or ["bindings", _] => static _ => true,
            ["queues", _, var queue, _] => binding => binding.Kind == DestinationKind.Queue && binding.Destination == queue,
            ["exchanges", _, var name, _, "source"] => binding => binding.Source == NameOf(name),
            ["exchanges", _, var name, ..] => binding => binding.Kind == DestinationKind.Exchange && binding.Destination == NameOf(name),
            ["bindings", _, "e", var source, "q" or "e", var destination, ..] => binding => binding.Source == NameOf(source)
                && binding.Destination == NameOf(destination) && binding.Kind == KindOf(path[4]),
            _ => throw ManagementException.NotFound(),
        };
        var bindings = hosts.SelectMany(BindingsOf).Where(item => isWanted(item.Binding)).ToArray();
        if (path is not ["bindings", _, "e", _, _, _, var key])
            return writer => List(writer, bindings, WriteBinding, isObject: true);
        var found = bindings.FirstOrDefault(item => IsNamed(item.Binding, key));
        return found.Binding is null ? throw ManagementException.NotFound() : writer => Object(writer, () => WriteBinding(writer, found));
    }

    // Every queue is bound to the default exchange by its name.
    private static IEnumerable<(string Host, BindingState Binding)> BindingsOf(VirtualHostImage host) =>
        host.Topology.Queues.OrderBy(static queue => queue.Name, StringComparer.Ordinal).Select(static queue => new BindingState
        {
            Source = "",
            SourceId = 0,
            Destination = queue.Name,
            DestinationId = queue.Id,
            RoutingKey = queue.Name,
        }).Concat(host.Topology.Bindings.Where(host.Topology.IsInForce).OrderBy(static binding => binding.Source, StringComparer.Ordinal)
            .ThenBy(static binding => binding.Destination, StringComparer.Ordinal)
            .ThenBy(static binding => binding.RoutingKey, StringComparer.Ordinal)
            .ThenBy(static binding => binding.Arguments.ToString(), StringComparer.Ordinal)).Select(binding => (host.Name, binding));

    private static IEnumerable<(string Host, ExchangeState Value)> ExchangesOf(VirtualHostImage host) =>
        ExchangeTypes.Predeclared.Values.Concat(host.Topology.Exchanges).OrderBy(static exchange => exchange.Name, StringComparer.Ordinal)
            .Select(exchange => (host.Name, exchange));

    private static VirtualHostState StateOf(VirtualHostImage image) => new(image.Settings, image.Topology);

    // So the default exchange is called in paths.
    private static string NameOf(string exchange) => exchange == "amq.default" ? "" : exchange;

    private static DestinationKind KindOf(string letter) => letter switch
    {
        "q" => DestinationKind.Queue,
        "e" => DestinationKind.Exchange,
        _ => throw ManagementException.NotFound(),
    };

    private static QueueState QueueOf(VirtualHostImage host, string name) =>
        host.Topology.FindQueue(name) ?? throw ManagementException.NotFound();

    /// <summary>Names a binding among those between the same two, in paths: its key, and a hash of its arguments.</summary>
    internal static string KeyOf(BindingState binding)
    {
        var key = Uri.EscapeDataString(binding.RoutingKey).Replace("~", "%7E", StringComparison.Ordinal);
        if (binding.Arguments.IsEmpty)
            return key.Length == 0 ? "~" : key;
        var hash = SHA256.HashData(Encoding.UTF8.GetBytes(binding.Arguments.ToString()!));
        return $"{key}~{Convert.ToHexStringLower(hash.AsSpan(0, 8))}";
    }

    // Clients encode the name for the path, or take it for encoded.
    private static bool IsNamed(BindingState binding, string key) =>
        KeyOf(binding) == key || (binding.Arguments.IsEmpty && binding.RoutingKey == key);

    // Declares a queue, and sends a message through it.
    private static async Task TestAsync(ManagementRequest request, string host)
    {
        const string name = "aliveness-test";
        var (image, access) = await request.EnterAsync(host).ConfigureAwait(false);
        Demand(access.CheckDeclareQueue(name) ?? access.CheckReadQueue(name) ?? access.CheckPublish("", null, name));
        var answer = await request.Hosts.SendAsync(host, new DeclareQueue(new QueueDeclaration { Name = name }, NoConnection))
            .ConfigureAwait(false);
        var entry = await request.Registry.OpenAsync(host, answer.Queue!).ConfigureAwait(false);
        var message = new AmqpMessage("", name, Wire.ContentProperties.None, "test_message"u8.ToArray(),
            request.Registry.Time.GetUtcNow().ToUnixTimeMilliseconds());
        if (await entry.Queue.PublishAsync(message).ConfigureAwait(false) != PublishOutcome.Accepted)
            throw new BrokerException(ErrorCode.RequestTimedOut, "The test message was not stored.");
        var reader = await entry.Queue.AttachAsync(0).ConfigureAwait(false);
        await using (reader.ConfigureAwait(false))
        {
            var received = await reader.ReceiveAsync(1, TimeSpan.FromSeconds(5), request.Context.RequestAborted).ConfigureAwait(false);
            if (received.Count == 0)
                throw new BrokerException(ErrorCode.RequestTimedOut, "The test message was not delivered.");
            await reader.SettleAsync(received[0].Hold, Settlement.Accept).ConfigureAwait(false);
        }
    }

    // Nothing here raises an alarm.
    private Action<Utf8JsonWriter> Check(string[] check, ManagementRequest request)
    {
        switch (check)
        {
            case ["alarms" or "local-alarms" or "virtual-hosts" or "node-is-quorum-critical" or "node-is-mirror-sync-critical"]:
                ManagementUser.Demand(request.User.IsMonitoring, "monitor");
                return WriteOk;
            case ["port-listener", var port]:
                ManagementUser.Demand(request.User.IsMonitoring, "monitor");
                int[] ports = [amqp.EndPoint.Port, management.EndPoint.Port];
                return int.TryParse(port, out var number) && ports.Contains(number) ? WriteOk
                    : throw new ManagementException(503, "failed",
                        $"No active listener on port {port}; there are {ports[0]} and {ports[1]}");
            default:
                throw ManagementException.NotFound();
        }
    }
}

/// <summary>A queue of a list.</summary>
internal sealed record DescribedQueue(string Host, QueueState State, QueueSettings Settings, int Consumers, QueueCounts? Counts);
