using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Options;

namespace OrleansMq.Client;

/// <summary>Binds sections of a configuration to options. Refuses settings that no option has, since a misspelt one would be
/// ignored.</summary>
[RequiresUnreferencedCode(Reflection)]
[RequiresDynamicCode(Reflection)]
internal static class ConfigurationSections
{
    public const string Reflection = "Binds options by reflection; with trimming or native AOT set them in code.";

    /// <summary>Sets the options that a section names. One section may hold the settings of several objects.</summary>
    /// <exception cref="OptionsValidationException">The section is missing, or has a setting that none of the options has.</exception>
    /// <exception cref="InvalidOperationException">A value has not the type of its option; the message names it.</exception>
    public static void Bind(IConfigurationSection section, params object[] options)
    {
        if (!section.Exists())
            throw Refused(section, options, $"The configuration has no section '{section.Path}'.");
        RefuseUnknown(section, options, [.. options.Select(static item => item.GetType())]);
        foreach (var item in options)
            section.Bind(item);
    }

    /// <summary>Returns consumer options with the settings of a section.</summary>
    /// <inheritdoc cref="Bind"/>
    public static ConsumerOptions BindConsumer(IConfigurationSection section, ConsumerOptions options, params object[] others)
    {
        // The binder appends to a list that has elements; the section replaces them.
        var bound = options with { Assignors = section.GetSection(nameof(ConsumerOptions.Assignors)).Exists() ? [] : options.Assignors };
        Bind(section, [bound, .. others]);
        return bound;
    }

    private static void RefuseUnknown(IConfigurationSection section, object[] options, Type[] types)
    {
        PropertyInfo[] known = [.. types.SelectMany(static type => type.GetProperties(BindingFlags.Public | BindingFlags.Instance))
            .Where(static property => property.CanWrite && (IsSetting(property.PropertyType) || IsGroup(property.PropertyType)))];
        foreach (var child in section.GetChildren())
        {
            var property = Array.Find(known, property => property.Name.Equals(child.Key, StringComparison.OrdinalIgnoreCase))
                ?? throw Refused(section, options, $"The configuration has '{child.Path}', but no such option can be set. Allowed are: "
                    + $"{string.Join(", ", known.Select(static property => property.Name).Order(StringComparer.Ordinal))}.");
            if (IsGroup(property.PropertyType))
                RefuseUnknown(child, options, [property.PropertyType]);
        }
    }

    private static bool IsSetting(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        return type.IsPrimitive || type.IsEnum || type == typeof(string) || type == typeof(TimeSpan)
            || type == typeof(IReadOnlyList<string>) || type == typeof(IReadOnlyList<Uri>);
    }

    /// <summary>Whether a type is options in options, such as those of a retry policy.</summary>
    private static bool IsGroup(Type type) => type is { IsClass: true, Namespace: { } name }
        && name.StartsWith("OrleansMq.Client", StringComparison.Ordinal);

    private static OptionsValidationException Refused(IConfigurationSection section, object[] options, string problem) =>
        new(section.Path, options[0].GetType(), [problem]);
}
