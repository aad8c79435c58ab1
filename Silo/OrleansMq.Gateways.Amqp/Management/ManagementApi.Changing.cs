using System.Collections.Immutable;
using System.Security.Cryptography;
using Microsoft.AspNetCore.Http;
using OrleansMq.Diagnostics;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Management;

// PUT, POST and DELETE.
internal sealed partial class ManagementApi
{
    // Exclusive queues belong to connections; an operator has none.
    private const string NoConnection = "management";
    private const int SaltBytes = 4;

    private async Task<int> ChangeAsync(ManagementRequest request, string method, string[] path)
    {
        var isPut = method == HttpMethods.Put;
        if (!isPut && method != HttpMethods.Delete && method != HttpMethods.Post)
            throw new ManagementException(StatusCodes.Status405MethodNotAllowed, "method_not_allowed", $"{method} is not allowed");
        if (method == HttpMethods.Post)
            return await PostAsync(request, path).ConfigureAwait(false);
        switch (path)
        {
            case ["vhosts", _] or ["users", _] or ["permissions", _, _] or ["topic-permissions", _, _]:
            case ["topic-permissions", _, _, _] when !isPut:
                ManagementUser.Demand(request.User.IsAdministrator, "administrator");
                return await AdministerAsync(request, isPut, path).ConfigureAwait(false);
            case ["policies", var host, var name]:
                ManagementUser.Demand(request.User.IsPolicymaker, "policymaker");
                return await ChangePolicyAsync(request, isPut, host, name, isOperator: false).ConfigureAwait(false);
            case ["operator-policies", var host, var name]:
                ManagementUser.Demand(request.User.IsAdministrator, "administrator");
                return await ChangePolicyAsync(request, isPut, host, name, isOperator: true).ConfigureAwait(false);
            case ["vhost-limits", var host, var name]:
                ManagementUser.Demand(request.User.IsAdministrator, "administrator");
                return await ChangeLimitAsync(request, isPut, host, name).ConfigureAwait(false);
            case ["exchanges", var host, var name]:
                return await (isPut ? PutExchangeAsync(request, host, name) : DeleteExchangeAsync(request, host, name))
                    .ConfigureAwait(false);
            case ["queues", var host, var name]:
                return await (isPut ? PutQueueAsync(request, host, name) : DeleteQueueAsync(request, host, name)).ConfigureAwait(false);
            case ["queues", var host, var name, "contents"] when !isPut:
                return await PurgeAsync(request, host, name).ConfigureAwait(false);
            case ["connections", _] or ["connections", "username", _] when !isPut:
                return await CloseConnectionsAsync(request, path).ConfigureAwait(false);
            case ["bindings", var host, "e", var source, "q" or "e", var destination, var key] when !isPut:
                return await UnbindAsync(request, host, NameOf(source), KindOf(path[4]), destination, key).ConfigureAwait(false);
            default:
                throw ManagementException.NotFound();
        }
    }

    private async Task<int> PostAsync(ManagementRequest request, string[] path)
    {
        switch (path)
        {
            case ["definitions"] or ["definitions", _]:
                await ImportAsync(request, path).ConfigureAwait(false);
                return StatusCodes.Status204NoContent;
            case ["bindings", var host, "e", var source, "q" or "e", var destination]:
                return await BindAsync(request, host, NameOf(source), KindOf(path[4]), destination).ConfigureAwait(false);
            default:
                throw ManagementException.NotFound();
        }
    }

    // Returns what was left out.
    private async Task<ImmutableArray<string>> ImportAsync(ManagementRequest request, string[] path)
    {
        ManagementUser.Demand(request.User.IsAdministrator, "administrator");
        if (path.Length == 2)
            await request.SeeAsync(path[1]).ConfigureAwait(false);
        using var lease = management.Imports.Begin();
        var json = await request.DefinitionsAsync(management.MaxImportBytes, lease).ConfigureAwait(false);
        var answer = await request.Hosts.AdministerAsync(new ImportDefinitions(json, path.ElementAtOrDefault(1))).ConfigureAwait(false);
        foreach (var ignored in answer.Ignored)
            log.Write(EngineLogLevel.Warning, $"The import of definitions left out {ignored}.");
        return answer.Ignored;
    }

    private static int StatusOf(VirtualHostAnswer answer, bool isNew) =>
        isNew && answer.IsChanged ? StatusCodes.Status201Created : StatusCodes.Status204NoContent;

    private static async Task<int> AdministerAsync(ManagementRequest request, bool isPut, string[] path)
    {
        var body = isPut ? await request.BodyAsync().ConfigureAwait(false) : default;
        var (users, name) = (request.Hosts.Users, path[1]);
        if (path.Length >= 3)
            name = path[2];
        bool isThere;
        VirtualHostAdministration command;
        switch (path[0])
        {
            case "vhosts":
                isThere = request.Hosts.Find(name) is not null;
                command = isPut ? new PutVirtualHost(name, request.User.State.Name)
                {
                    Description = body.Text("description", "") is { Length: > 0 } text ? text : null,
                    Tags = body.Tags("tags"),
                    DefaultQueueType = body.Text("default_queue_type", "undefined") is var type && type == "undefined" ? null
                        : QueueArguments.TypeOf(FieldTable.Of((QueueArguments.Type, new TextValue(type))))
                            ?? throw body.Wrong("default_queue_type", $"must be classic, quorum or stream, not '{type}'"),
                } : new DeleteVirtualHost(name);
                break;
            case "users":
                isThere = users.FindUser(name) is not null;
                command = isPut ? UserOf(name, body) : new DeleteUser(name);
                break;
            case "permissions":
                var host = await request.SeeAsync(path[1]).ConfigureAwait(false);
                isThere = users.FindUser(name) is { } user && host.Settings.Permissions.GetValueOrDefault(name)?.UserId == user.Id;
                command = isPut ? new SetPermissions(path[1], name, body.Pattern("configure"), body.Pattern("write"), body.Pattern("read"))
                    : new ClearPermissions(path[1], name);
                break;
            default:
                var permissions = (await request.SeeAsync(path[1]).ConfigureAwait(false)).Settings.Permissions.GetValueOrDefault(name);
                // RabbitMQ clears all of a user; a fourth part of the path is the one exchange to clear.
                var exchange = isPut ? body.Text("exchange") : path.ElementAtOrDefault(3);
                isThere = permissions is not null && (exchange is null ? !permissions.Topics.IsEmpty
                    : permissions.Topics.ContainsKey(exchange));
                if (isPut)
                {
                    body.Pattern("write");
                    body.Pattern("read");
                }
                command = isPut ? new SetTopicPermission(path[1], name, exchange!, new TopicPermission(body.Text("write"),
                    body.Text("read"))) : new ClearTopicPermission(path[1], name, exchange);
                break;
        }
        if (!isPut && !isThere)
            throw ManagementException.NotFound();
        return StatusOf(await request.Hosts.AdministerAsync(command).ConfigureAwait(false), isPut && !isThere);
    }

    private static PutUser UserOf(string name, JsonFields body)
    {
        var tags = body.Tags("tags");
        if (body.Text("password", "") is { Length: > 0 } password)
            return new PutUser(name, PasswordHash.Create(password, RandomNumberGenerator.GetBytes(SaltBytes)), PasswordHash.Sha256, tags);
        // An empty hash is a user without a password, who cannot log in.
        return new PutUser(name, body.Text("password_hash"), body.Text("hashing_algorithm", PasswordHash.Sha256), tags);
    }

    private static async Task<int> ChangePolicyAsync(ManagementRequest request, bool isPut, string hostName, string name, bool isOperator)
    {
        var (host, _) = await request.EnterAsync(hostName).ConfigureAwait(false);
        var isThere = (isOperator ? host.Settings.Policies.OperatorPolicies : host.Settings.Policies.Policies).ContainsKey(name);
        if (!isPut && !isThere)
            throw ManagementException.NotFound();
        VirtualHostAdministration command = isPut
            ? new SetPolicy(hostName, Definitions.PolicyOf(await request.BodyAsync().ConfigureAwait(false), name), isOperator)
            : new ClearPolicy(hostName, name, isOperator);
        return StatusOf(await request.Hosts.AdministerAsync(command).ConfigureAwait(false), isPut && !isThere);
    }

    private static async Task<int> ChangeLimitAsync(ManagementRequest request, bool isPut, string host, string name)
    {
        await request.SeeAsync(host).ConfigureAwait(false);
        if (name is not (VirtualHostLimits.MaxConnections or VirtualHostLimits.MaxQueues))
            throw ManagementException.Bad($"the limits of virtual hosts are {VirtualHostLimits.MaxConnections} and "
                + $"{VirtualHostLimits.MaxQueues}, not '{name}'");
        var most = isPut ? VirtualHostLimits.Of((await request.BodyAsync().ConfigureAwait(false)).Integer("value", -1)) : null;
        await request.Hosts.AdministerAsync(name == VirtualHostLimits.MaxQueues ? new SetQueueLimit(host, most)
            : new SetConnectionLimit(host, most)).ConfigureAwait(false);
        return StatusCodes.Status204NoContent;
    }

    private static async Task<int> PutExchangeAsync(ManagementRequest request, string host, string name)
    {
        var (image, access) = await request.EnterAsync(host).ConfigureAwait(false);
        var body = await request.BodyAsync().ConfigureAwait(false);
        var declaration = new ExchangeDeclaration
        {
            Name = name,
            Type = body.Text("type", ExchangeTypes.Direct),
            Durable = body.Flag("durable", true),
            AutoDelete = body.Flag("auto_delete", false),
            Internal = body.Flag("internal", false),
            Arguments = body.Table("arguments"),
        };
        Demand(access.CheckDeclareExchange(name, declaration.Arguments.Text(ExchangeTypes.Alternate)));
        if (image.Topology.FindExchange(name) is null)
            Mutate(request, declaration.Durable);
        var answer = await request.Hosts.SendAsync(host, new DeclareExchange(declaration)).ConfigureAwait(false);
        return StatusOf(answer, image.Topology.FindExchange(name) is null);
    }

    private static async Task<int> DeleteExchangeAsync(ManagementRequest request, string host, string name)
    {
        var (image, access) = await request.EnterAsync(host).ConfigureAwait(false);
        Demand(access.CheckDeleteExchange(name));
        if (image.Topology.FindExchange(name) is not { } exchange)
            throw ManagementException.NotFound();
        Mutate(request, exchange.Durable);
        await request.Hosts.SendAsync(host, new DeleteExchange(name, request.Flag("if-unused"))).ConfigureAwait(false);
        return StatusCodes.Status204NoContent;
    }

    private static async Task<int> PutQueueAsync(ManagementRequest request, string host, string name)
    {
        var (image, access) = await request.EnterAsync(host).ConfigureAwait(false);
        var body = await request.BodyAsync().ConfigureAwait(false);
        var declaration = new QueueDeclaration
        {
            Name = name,
            Durable = body.Flag("durable", true),
            AutoDelete = body.Flag("auto_delete", false),
            Arguments = body.Table("arguments"),
        };
        Demand(access.CheckDeclareQueue(name, declaration.Arguments.Text(QueueArguments.DeadLetterExchange)));
        if (image.Topology.FindQueue(name) is null)
            Mutate(request, declaration.Durable);
        var answer = await request.Hosts.SendAsync(host, new DeclareQueue(declaration, NoConnection)).ConfigureAwait(false);
        return StatusOf(answer, image.Topology.FindQueue(name) is null);
    }

    private static async Task<int> DeleteQueueAsync(ManagementRequest request, string host, string name)
    {
        var (image, access) = await request.EnterAsync(host).ConfigureAwait(false);
        Demand(access.CheckDeleteQueue(name));
        var queue = QueueOf(image, name);
        var (connection, ifUnused, ifEmpty) = (ConnectionOf(request), request.Flag("if-unused"), request.Flag("if-empty"));
        Demand(image.Topology.DeleteQueue(name, connection, ifUnused, ifEmpty).Refusal);
        if (ifEmpty)
        {
            // Opened, since this broker may not have heard of its topic yet.
            var entry = await request.Registry.OpenAsync(host, queue).ConfigureAwait(false);
            Demand(image.Topology.DeleteQueue(name, connection, ifUnused, ifEmpty,
                new QueueFacts(await entry.Queue.CountAsync().ConfigureAwait(false))).Refusal);
        }
        Mutate(request, queue.Durable);
        await request.Hosts.SendAsync(host, new DeleteQueue(name, connection, queue.Id, ifUnused)).ConfigureAwait(false);
        await request.Registry.EndAsync(host, queue).ConfigureAwait(false);
        return StatusCodes.Status204NoContent;
    }

    private static async Task<int> PurgeAsync(ManagementRequest request, string host, string name)
    {
        var (image, access) = await request.EnterAsync(host).ConfigureAwait(false);
        Demand(access.CheckReadQueue(name));
        if (ConnectionOf(request) is { } connection)
            Demand(image.Topology.UseQueue(name, connection).Refusal);
        var entry = await request.Registry.OpenAsync(host, QueueOf(image, name)).ConfigureAwait(false);
        await entry.Queue.PurgeAsync().ConfigureAwait(false);
        return StatusCodes.Status204NoContent;
    }

    private static async Task<int> BindAsync(ManagementRequest request, string host, string source, DestinationKind kind,
        string destination)
    {
        var (image, access) = await request.EnterAsync(host).ConfigureAwait(false);
        var body = await request.BodyAsync().ConfigureAwait(false);
        var binding = new BindingRequest(source, kind, destination, body.Text("routing_key", ""), body.Table("arguments"));
        // The source decides whether its keys are limited. The image may be older than it.
        var exchange = image.Topology.FindExchange(source)
            ?? (await request.Hosts.RefreshAsync(host, request.Context.RequestAborted).ConfigureAwait(false))?.Topology
                .FindExchange(source);
        Demand(access.CheckBinding(binding, exchange));
        Mutate(request, image.Topology.Bind(binding, ConnectionOf(request)));
        await request.Hosts.SendAsync(host, new Bind(binding, ConnectionOf(request))).ConfigureAwait(false);
        var key = KeyOf(new BindingState
        {
            Source = source,
            SourceId = 0,
            Destination = destination,
            DestinationId = 0,
            RoutingKey = binding.RoutingKey,
            Arguments = binding.Arguments ?? FieldTable.Empty,
        });
        // Relative to the parent of the path, as RabbitMQ has it.
        request.Context.Response.Headers.Location = $"{Uri.EscapeDataString(destination)}/{Uri.EscapeDataString(key)}";
        return StatusCodes.Status201Created;
    }

    private static async Task<int> UnbindAsync(ManagementRequest request, string host, string source, DestinationKind kind,
        string destination, string key)
    {
        var (image, access) = await request.EnterAsync(host).ConfigureAwait(false);
        var binding = image.Topology.BindingsFrom(source).FirstOrDefault(binding => binding.Kind == kind
            && binding.Destination == destination && IsNamed(binding, key)) ?? throw ManagementException.NotFound();
        var unbound = new BindingRequest(source, kind, destination, binding.RoutingKey, binding.Arguments);
        Demand(access.CheckBinding(unbound, image.Topology.FindExchange(source)));
        Mutate(request, image.Topology.Unbind(unbound, ConnectionOf(request)));
        await request.Hosts.SendAsync(host, new Unbind(unbound, ConnectionOf(request))).ConfigureAwait(false);
        return StatusCodes.Status204NoContent;
    }

    // The queue of another connection is locked for all but administrators, as for AMQP's clients.
    private static string? ConnectionOf(ManagementRequest request) => request.User.IsAdministrator ? null : NoConnection;

    private static void Mutate(ManagementRequest request, TopologyDecision binding)
    {
        if (!binding.Edits.IsEmpty)
            Mutate(request, isDurable: !binding.WritesBefore.IsEmpty);
    }

    private static void Mutate(ManagementRequest request, bool isDurable)
    {
        if (request.Registry.Mutate(request.User.State.Name, isDurable) is { } refusal)
            throw ManagementException.TooMany(refusal);
    }

    private static void Demand(AmqpRefusal? refusal)
    {
        if (refusal is not null)
            throw new AmqpRefusedException(refusal);
    }
}
