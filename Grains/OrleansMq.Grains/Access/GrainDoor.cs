using System.Diagnostics;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Grains.Hosting;

namespace OrleansMq.Grains.Access;

/// <summary>
/// The door of Orleans clients to this broker. The grains of topics, groups and the cluster pass every call through
/// <see cref="InvokeAsync"/>, and a partition's grain opens its partition with <see cref="Clients"/>. Thread safe.
/// <para>A caller is a client where it is outside the silos. Calls from a silo come from a broker, which has authorized the request of its
/// own client and counts it, or from the application's own grains.</para>
/// <para>This is no boundary against code that forges grain calls: the interfaces between brokers on a partition's grain are not guarded,
/// and a caller states its own id. Only trusted programs may reach a silo's ports.</para>
/// </summary>
internal sealed class GrainDoor(BrokerAccess access, SiloBroker broker)
{
    // What Orleans puts before the address of a silo that calls outside of its grains.
    private const string HostedClientPrefix = "hosted-";

    /// <summary>The session of all Orleans clients: a grain call carries no identity.</summary>
    public SessionAccess Clients { get; } =
        access.Open(BrokerSession.Orleans with { Principal = broker.Options.Security.OrleansPrincipal });

    /// <summary>Carries out a call that the caller may make.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.TopicAuthorizationFailed"/>,
    /// <see cref="ErrorCode.GroupAuthorizationFailed"/>, <see cref="ErrorCode.ClusterAuthorizationFailed"/>.</exception>
    public Task InvokeAsync(IIncomingGrainCallContext call) => IsClient(call.SourceId) ? InvokeForClientAsync(call) : call.Invoke();

    /// <summary>Whether a caller is outside the silos.</summary>
    internal static bool IsClient(GrainId? caller) => caller is { } id && id.IsClient()
        && !id.Key.ToString()!.StartsWith(HostedClientPrefix, StringComparison.Ordinal);

    private async Task InvokeForClientAsync(IIncomingGrainCallContext call)
    {
        var rule = GrainRules.Of(call.InterfaceMethod);
        if (rule is RuleOfRequestAttribute)
        {
            await SendAsync(call, call.Request.GetArgument(0)!);
            return;
        }
        var name = NameOf(call, rule);
        if (rule.Operation == AccessOperation.Create)
            DemandCreation(name);
        else if (rule is not FilteredListAttribute)
            Clients.Demand(rule.Operation, rule.Type, name);
        await call.Invoke();
        if (rule is { Operation: AccessOperation.Delete, Type: ResourceType.Topic })
            access.Meter.Topics.Forget(name);
        if (call.Result is TopicListing[] topics)
            call.Result = Array.FindAll(topics, topic => Clients.Allows(AccessOperation.Describe, ResourceType.Topic, topic.Name));
        else if (call.Result is GroupListing[] groups)
            call.Result = Array.FindAll(groups, group => Clients.Allows(AccessOperation.Describe, ResourceType.Group, group.GroupId));
        else if (call.Result is TransactionListing[] transactions)
            call.Result = Array.FindAll(transactions,
                listing => Clients.Allows(AccessOperation.Describe, ResourceType.TransactionalId, listing.TransactionalId));
        else if (call.Result is TopicDescription described
            && !Clients.Allows(AccessOperation.DescribeConfigs, ResourceType.Topic, described.Name))
            call.Result = described with { Configs = [] };
    }

    private async Task SendAsync(IIncomingGrainCallContext call, object request)
    {
        // The key names the group or the transactional id that the grain coordinates, whatever the request names.
        var id = call.TargetId.Key.ToString()!;
        if ((request is IGroupRequest group ? Clients.Refuses(group, id) : Clients.Refuses((ITransactionRequest)request, id))
            is { } refusal)
        {
            call.Result = refusal;
            return;
        }
        if (request is IGroupRequest sent && await Clients.RefusesAsync(sent, id, CancellationToken.None) is { } unverified)
        {
            call.Result = unverified;
            return;
        }
        if (request is not IGroupRequest whole)
        {
            await call.Invoke();
            if (call.Result is TransactionDescription described)
                call.Result = Clients.Seen(described);
            return;
        }
        var topics = new GroupTopics(Clients);
        var narrowed = topics.Narrow(whole);
        call.Request.SetArgument(0, narrowed);
        var started = Stopwatch.GetTimestamp();
        await call.Invoke();
        if (call.Result is not { } answer)
            return;
        access.Count(narrowed, answer, Stopwatch.GetElapsedTime(started));
        call.Result = topics.Complete(whole, narrowed, answer);
    }

    private static string NameOf(IIncomingGrainCallContext call, GrainRuleAttribute rule) =>
        rule.Type == ResourceType.Cluster ? ResourceTypes.Cluster
        : rule.NameArgument < 0 ? call.TargetId.Key.ToString()!
        : call.Request.GetArgument(rule.NameArgument) is NewTopic topic ? topic.Name
        : (string)call.Request.GetArgument(rule.NameArgument)!;

    private void DemandCreation(string topic)
    {
        if (!Clients.AuthorizesCreation(topic))
            Clients.Demand(AccessOperation.Create, ResourceType.Topic, topic);
    }
}
