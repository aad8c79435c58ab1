using System.Diagnostics;
using OrleansMq.Access;
using OrleansMq.Api;
using OrleansMq.Grains.Brokers;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Security;
using OrleansMq.Quotas;
using OrleansMq.Topics;

namespace OrleansMq.Grains.Access;

/// <summary>
/// The door of Orleans clients to this broker. The grains of topics, groups and the cluster pass every call through
/// <see cref="InvokeAsync"/>. A partition's grain opens its partition with <see cref="CallerOf{T}"/>, and has its methods for brokers call
/// <see cref="DemandBroker{T}"/>. Thread safe.
/// <para>Calls of brokers, which have authorized the request of their own client and count it, and of the application's own grains in
/// their silos are carried out as they are. Whose a call is, its ticket proves (<see cref="CallTickets"/>). Where everyone may do
/// everything there are no tickets, and a caller's own word only decides which broker counts the request.</para>
/// </summary>
internal sealed class GrainDoor
{
    // What Orleans calls when a grain's timer is due: no method of ours.
    private const string Timers = "Orleans.Runtime.IGrainTimerInvoker";

    private readonly BrokerAccess _access;
    private readonly SiloBroker _broker;
    private readonly CallTickets? _tickets;
    private readonly SessionAccess _strangers;
    private readonly IGrainContextAccessor _contexts;

    public GrainDoor(BrokerAccess access, SiloBroker broker, SiloSecurity security, IGrainContextAccessor contexts)
    {
        (_access, _broker, _contexts) = (access, broker, contexts);
        _strangers = access.Open(BrokerSession.Orleans with { Principal = broker.Options.Security.OrleansPrincipal });
        _tickets = security.Tickets is { } tickets
            ? new CallTickets(tickets, security.Users, access, _strangers, broker.Options) : null;
    }

    /// <summary>The session of the call that is carried out: of the client that has logged in, of all that have not, or of the application
    /// in a silo. It is asked before the method awaits anything.</summary>
    /// <typeparam name="T">The interface that is called.</typeparam>
    /// <exception cref="BrokerException">The call's ticket is not good.</exception>
    public SessionAccess CallerOf<T>()
        where T : IAddressable => _tickets?.CallerOf(Target(typeof(T))) ?? _strangers;

    /// <summary>Refuses the call that is carried out unless it comes from a broker. It is asked before the method awaits
    /// anything.</summary>
    /// <typeparam name="T">The interface that is called.</typeparam>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ClusterAuthorizationFailed"/>, or the call's ticket is not good.</exception>
    public void DemandBroker<T>()
        where T : IAddressable => _tickets?.DemandBroker(Target(typeof(T)));

    /// <summary>Carries out a call that the caller may make.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.TopicAuthorizationFailed"/>,
    /// <see cref="ErrorCode.GroupAuthorizationFailed"/>, <see cref="ErrorCode.ClusterAuthorizationFailed"/>,
    /// <see cref="ErrorCode.ThrottlingQuotaExceeded"/>, or the call's ticket is not good.</exception>
    public Task InvokeAsync(IIncomingGrainCallContext call)
    {
        // The grain's own timer, which carries no ticket.
        if (call.SourceId == call.TargetId && call.InterfaceMethod.DeclaringType?.FullName == Timers)
            return call.Invoke();
        var isClaimed = !OutsideCallers.IsOutside(call.SourceId);
        var caller = _strangers;
        return (_tickets is null ? isClaimed : _tickets.IsOfBroker(TargetOf(call), isClaimed, out caller)) ? call.Invoke()
            : caller.PaceOf(QuotaKey.RequestPercentage) is { } pace ? InvokeAtPaceAsync(call, caller, pace)
            : InvokeForClientAsync(call, caller);
    }

    // The time until the call waits for the first time is the client's, as of requests by other protocols. The call is carried out, and its
    // answer held back: a heartbeat or a commit that came late would cost the other members of its group. Nothing is awaited before the
    // method begins, which a group's grain relies on. Where a held answer would keep other calls waiting, the next answer is held instead.
    private async Task InvokeAtPaceAsync(IIncomingGrainCallContext call, SessionAccess client, SessionPace pace)
    {
        const QuotaKey key = QuotaKey.RequestPercentage;
        var started = Stopwatch.GetTimestamp();
        var answering = InvokeForClientAsync(call, client);
        pace.Charge(key, Stopwatch.GetElapsedTime(started).TotalSeconds * 100);
        try
        {
            await answering;
        }
        finally
        {
            if (GrainRules.Interleaves(call.InterfaceMethod, call.Grain.GetType()))
                await pace.DelayAsync(key, BrokerQuotas.RequestThrottle(pace.Wait(key)), _broker.Stopping);
        }
    }

    private async Task InvokeForClientAsync(IIncomingGrainCallContext call, SessionAccess client)
    {
        var rule = GrainRules.Of(call.InterfaceMethod);
        if (rule == GrainRules.BrokersOnly)
            _tickets?.DemandBroker(TargetOf(call));
        if (rule is RuleOfRequestAttribute)
        {
            await SendAsync(call, call.Request.GetArgument(0)!, client);
            return;
        }
        var name = NameOf(call, rule);
        if (rule.Operation == AccessOperation.Create)
            DemandCreation(name, client);
        else if (rule is not FilteredListAttribute)
            client.Demand(rule.Operation, rule.Type, name);
        if (client.PaceOf(QuotaKey.ControllerMutationRate) is { } pace && rule is { Type: ResourceType.Topic,
            Operation: AccessOperation.Create or AccessOperation.Delete or AccessOperation.Alter })
            await MutateAsync(call, rule, name, pace);
        else
            await call.Invoke();
        if (rule is { Operation: AccessOperation.Delete, Type: ResourceType.Topic })
            _access.Meter.Topics.Forget(name);
        if (call.Result is TopicListing[] topics)
            call.Result = Array.FindAll(topics, topic => client.Allows(AccessOperation.Describe, ResourceType.Topic, topic.Name));
        else if (call.Result is GroupListing[] groups)
            call.Result = Array.FindAll(groups, group => client.Allows(AccessOperation.Describe, ResourceType.Group, group.GroupId));
        else if (call.Result is TransactionListing[] transactions)
            call.Result = Array.FindAll(transactions,
                listing => client.Allows(AccessOperation.Describe, ResourceType.TransactionalId, listing.TransactionalId));
        else if (call.Result is TopicDescription described
            && !client.Allows(AccessOperation.DescribeConfigs, ResourceType.Topic, described.Name))
            call.Result = described with { Configs = [] };
    }

    private async Task SendAsync(IIncomingGrainCallContext call, object request, SessionAccess client)
    {
        // The key names the group or the transactional id that the grain coordinates, whatever the request names.
        var id = call.TargetId.Key.ToString()!;
        if ((request is IGroupRequest group ? client.Refuses(group, id) : client.Refuses((ITransactionRequest)request, id))
            is { } refusal)
        {
            call.Result = refusal;
            return;
        }
        if (request is IGroupRequest sent && await client.RefusesAsync(sent, id, CancellationToken.None) is { } unverified)
        {
            call.Result = unverified;
            return;
        }
        if (request is AddToTransaction add && await client.RefusesAsync(add, CancellationToken.None) is { } misnamed)
        {
            call.Result = misnamed;
            return;
        }
        if (request is not IGroupRequest whole)
        {
            await call.Invoke();
            if (call.Result is TransactionDescription described)
                call.Result = client.Seen(described);
            return;
        }
        var topics = new GroupTopics(client);
        var narrowed = topics.Narrow(whole);
        call.Request.SetArgument(0, narrowed);
        var started = Stopwatch.GetTimestamp();
        await call.Invoke();
        if (call.Result is not { } answer)
            return;
        _access.Count(narrowed, answer, Stopwatch.GetElapsedTime(started));
        call.Result = topics.Complete(whole, narrowed, answer);
    }

    // A catalogue that is on its way to another broker has done nothing, and the client calls again: that call pays.
    private async Task MutateAsync(IIncomingGrainCallContext call, GrainRuleAttribute rule, string topic, SessionPace pace)
    {
        var taken = await CountAsync(call, rule, topic) is { } count ? pace.Mutate(count) : 0;
        try
        {
            await call.Invoke();
        }
        catch (BrokerException moved) when (rule.Operation != AccessOperation.Alter && LeaderPatience.HasMoved(moved.Code))
        {
            pace.TakeBack(taken);
            throw;
        }
    }

    // The partitions that a call creates or deletes; null where it is refused: an impossible number, or no such topic.
    private async ValueTask<int?> CountAsync(IIncomingGrainCallContext call, GrainRuleAttribute rule, string topic)
    {
        if (rule.Operation == AccessOperation.Create)
            return call.Request.GetArgument(rule.NameArgument) is NewTopic { Partitions: <= TopicState.MaxPartitions and var created }
                ? Math.Max(created, 1) : null;
        var total = 0;
        if (rule.Operation == AccessOperation.Alter && (total = (int)call.Request.GetArgument(0)!) > TopicState.MaxPartitions)
            return null;
        try
        {
            var present = (await _access.Broker.GetTopicAsync(topic)).Partitions;
            return rule.Operation == AccessOperation.Delete ? present : Math.Max(total - present, 0);
        }
        catch (BrokerException)
        {
            return null;
        }
    }

    private static CallTarget TargetOf(IIncomingGrainCallContext call) => new(call.TargetId, call.InterfaceMethod.DeclaringType!);

    // Of the grain, or grain service, that runs.
    private CallTarget Target(Type type) => new(_contexts.GrainContext?.GrainId ?? default, type);

    private static string NameOf(IIncomingGrainCallContext call, GrainRuleAttribute rule) =>
        rule.Type == ResourceType.Cluster ? ResourceTypes.Cluster
        : rule.NameArgument < 0 ? call.TargetId.Key.ToString()!
        : call.Request.GetArgument(rule.NameArgument) is NewTopic topic ? topic.Name
        : (string)call.Request.GetArgument(rule.NameArgument)!;

    private static void DemandCreation(string topic, SessionAccess client)
    {
        if (!client.AuthorizesCreation(topic))
            client.Demand(AccessOperation.Create, ResourceType.Topic, topic);
    }
}
