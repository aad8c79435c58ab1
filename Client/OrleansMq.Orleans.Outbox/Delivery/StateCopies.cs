using System.Collections.Concurrent;
using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Concurrency;
using Orleans.Serialization;
using Orleans.Serialization.Cloning;

namespace OrleansMq.Outboxes;

/// <summary>
/// Copies of states, for their writes. A storage may serialize a state after it was handed over, while an interleaved call changes it: the
/// change would be stored without its messages.
/// <para>Orleans' copier copies the members with an <c>[Id]</c>; a storage's serializer may store others, too. So a state is copied only
/// where each field has one.</para>
/// </summary>
internal static class StateCopies
{
    private const BindingFlags Members = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    private static readonly ConcurrentDictionary<Type, string?> s_leftOut = [];

    /// <summary>Returns what copies a state; null: a member would be left out.</summary>
    /// <param name="services">The silo's services.</param>
    /// <param name="leftOut">That member, or a type that has no copier.</param>
    public static Func<TState, TState>? Find<TState>(IServiceProvider services, out string? leftOut)
        where TState : class, IHasOutbox
    {
        leftOut = s_leftOut.GetOrAdd(typeof(TState), static (state, services) =>
            FindLeftOut(state, services.GetRequiredService<IDeepCopierProvider>(), []), services);
        return leftOut is null ? services.GetRequiredService<DeepCopier<TState>>().Copy : null;
    }

    /// <summary>Whether calls of a grain class interleave with others, as far as attributes tell.</summary>
    public static bool Interleaves(Type grain) => grain.IsDefined(typeof(ReentrantAttribute), inherit: true)
        || grain.IsDefined(typeof(MayInterleaveAttribute), inherit: true)
        || grain.GetInterfaces().Where(static contract => typeof(IGrain).IsAssignableFrom(contract)).Any(static contract =>
            contract.IsDefined(typeof(AlwaysInterleaveAttribute))
            || contract.GetMethods().Any(static method => method.IsDefined(typeof(AlwaysInterleaveAttribute))));

    // Of the outbox's document every member has an id.
    private static string? FindLeftOut(Type type, IDeepCopierProvider copiers, HashSet<Type> seen)
    {
        if (type.IsPrimitive || type.IsEnum || type == typeof(string) || type == typeof(OutboxDocument) || !seen.Add(type))
            return null;
        if (type.GetElementType() is { } element)
            return FindLeftOut(element, copiers, seen);
        foreach (var argument in type.GetGenericArguments())
        {
            if (FindLeftOut(argument, copiers, seen) is { } inner)
                return inner;
        }
        // What is in such a member is not known here.
        if (type.IsInterface || type.IsAbstract || type == typeof(object))
            return type.ToString();
        if (!type.IsDefined(typeof(GenerateSerializerAttribute), inherit: false))
            return copiers.TryGetDeepCopier(type) is null ? type.ToString() : null;
        for (var level = type; level is not null && level != typeof(object) && level != typeof(ValueType); level = level.BaseType)
        {
            foreach (var field in level.GetFields(Members))
            {
                if (!IsCopied(level, field))
                    return $"{level.Name}.{PropertyOf(field) ?? field.Name}";
                if (FindLeftOut(field.FieldType, copiers, seen) is { } inner)
                    return inner;
            }
        }
        return type.IsSealed ? null : type.Assembly.GetTypes().Where(other => other.IsSubclassOf(type))
            .Select(other => FindLeftOut(other, copiers, seen)).FirstOrDefault(static one => one is not null);
    }

    private static bool IsCopied(Type type, FieldInfo field)
    {
        if (field.IsDefined(typeof(IdAttribute)))
            return true;
        if (PropertyOf(field) is not { } name || type.GetProperty(name, Members) is not { } property)
            return false;
        var isGenerated = type.GetCustomAttribute<GenerateSerializerAttribute>()!.GenerateFieldIds == GenerateFieldIds.PublicProperties
            && property is { GetMethod.IsPublic: true, SetMethod.IsPublic: true };
        // The parameters of a record have ids by their order.
        var isParameter = type.GetMethod("<Clone>$", Members) is not null && type.GetConstructors(Members)
            .Any(constructor => constructor.GetParameters().Any(parameter => parameter.Name == name));
        return isGenerated || isParameter || property.IsDefined(typeof(IdAttribute));
    }

    private static string? PropertyOf(FieldInfo field) =>
        field.Name.StartsWith('<') && field.Name.IndexOf(">k__BackingField", StringComparison.Ordinal) is > 0 and var end
            ? field.Name[1..end] : null;
}
