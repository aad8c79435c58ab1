using Orleans.Serialization.Configuration;
using OrleansMq.Grains.Serialization;

[assembly: TypeManifestProvider(typeof(EngineTypeAliases))]

namespace OrleansMq.Grains.Serialization;

/// <summary>
/// The aliases of the engine's types between silos: <c>omq.</c> and the type's name. The engine does not reference Orleans, so every type
/// with a converter in this assembly gets its alias here. A message stays readable when a type moves to another namespace or assembly.
/// Never rename such a type, and never reuse its name.
/// </summary>
internal sealed class EngineTypeAliases : TypeManifestProviderBase
{
    /// <summary>The engine types that cross silos, by alias.</summary>
    internal static IReadOnlyDictionary<string, Type> Aliases { get; } = (
        from type in typeof(EngineTypeAliases).Assembly.GetTypes()
        from contract in type.GetInterfaces()
        where contract.IsGenericType && contract.GetGenericTypeDefinition() == typeof(IConverter<,>)
        select contract.GenericTypeArguments[0]).ToDictionary(static type => "omq." + type.Name);

    /// <inheritdoc/>
    protected override void ConfigureInner(TypeManifestOptions options)
    {
        foreach (var (alias, type) in Aliases)
            options.WellKnownTypeAliases[alias] = type;
    }
}
