using System.Collections.Concurrent;
using System.Reflection;
using OrleansMq.Access;

namespace OrleansMq.Grains.Access;

/// <summary>The rules of grain methods, as their interfaces declare them.</summary>
internal static class GrainRules
{
    /// <summary>The rule of the interfaces between brokers: no client has business there.</summary>
    public static GrainRuleAttribute BrokersOnly { get; } = new(AccessOperation.ClusterAction, ResourceType.Cluster);

    private static readonly ConcurrentDictionary<MethodInfo, GrainRuleAttribute> Known = new();

    /// <summary>The rule of a method; that of brokers for every method without one.</summary>
    public static GrainRuleAttribute Of(MethodInfo method) =>
        Known.GetOrAdd(method, static method => method.GetCustomAttribute<GrainRuleAttribute>() ?? BrokersOnly);
}
