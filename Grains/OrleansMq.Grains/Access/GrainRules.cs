using System.Collections.Concurrent;
using System.Reflection;
using Orleans.Concurrency;
using OrleansMq.Access;

namespace OrleansMq.Grains.Access;

/// <summary>The rules of grain methods, as their interfaces declare them.</summary>
internal static class GrainRules
{
    /// <summary>The rule of the interfaces between brokers: no client has business there.</summary>
    public static GrainRuleAttribute BrokersOnly { get; } = new(AccessOperation.ClusterAction, ResourceType.Cluster);

    private static readonly ConcurrentDictionary<MethodInfo, GrainRuleAttribute> Known = new();

    private static readonly ConcurrentDictionary<(MethodInfo Method, Type Grain), bool> KnownInterleaving = new();

    /// <summary>Whether a grain takes other calls while it answers one: an answer that is held back holds back no other.</summary>
    /// <param name="method">The method of the interface.</param>
    /// <param name="grain">The grain's class.</param>
    public static bool Interleaves(MethodInfo method, Type grain) => KnownInterleaving.GetOrAdd((method, grain), static key =>
        key.Method.IsDefined(typeof(AlwaysInterleaveAttribute)) || key.Grain.IsDefined(typeof(ReentrantAttribute)));

    /// <summary>The rule of a method; that of brokers for every method without one.</summary>
    public static GrainRuleAttribute Of(MethodInfo method) =>
        Known.GetOrAdd(method, static method => method.GetCustomAttribute<GrainRuleAttribute>() ?? BrokersOnly);
}
