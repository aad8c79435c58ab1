using System.Reflection;
using System.Runtime.CompilerServices;

namespace OrleansMq.Tests.Shared;

/// <summary>The public types and members of an assembly as text, one line each, so that a change is seen in a review.</summary>
internal static class PublicApi
{
    private const BindingFlags Declared = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static
        | BindingFlags.DeclaredOnly;

    // What the compiler writes for records.
    private static readonly HashSet<string> OfRecords =
    [
        "Equals", "GetHashCode", "ToString", "PrintMembers", "<Clone>$", "EqualityContract", "Deconstruct", "op_Equality", "op_Inequality",
    ];

    /// <summary>Fails unless the file beside the test has the assembly's public API. With OMQ_UPDATE_DOCS=1 the file is written
    /// instead.</summary>
    /// <param name="assembly">The assembly.</param>
    /// <param name="test">The test's file.</param>
    public static void Check(Assembly assembly, [CallerFilePath] string test = "")
    {
        var path = Path.Combine(Path.GetDirectoryName(test)!, $"{assembly.GetName().Name}.txt");
        string[] actual = [.. Describe(assembly)];
        if (Environment.GetEnvironmentVariable("OMQ_UPDATE_DOCS") == "1")
            File.WriteAllLines(path, actual);
        var expected = File.Exists(path) ? File.ReadAllLines(path) : [];
        var changes = actual.Except(expected).Select(static line => "+ " + line)
            .Concat(expected.Except(actual).Select(static line => "- " + line)).ToList();
        Assert.True(changes.Count == 0, $"The public API of {assembly.GetName().Name} has changed. If that is intended, run this test with "
            + $"OMQ_UPDATE_DOCS=1.\n{string.Join('\n', changes)}");
    }

    private static IEnumerable<string> Describe(Assembly assembly) => assembly.GetExportedTypes()
        .Where(static type => !type.IsDefined(typeof(System.CodeDom.Compiler.GeneratedCodeAttribute))
            && !type.FullName!.StartsWith("OrleansCodeGen", StringComparison.Ordinal))
        .OrderBy(static type => type.FullName, StringComparer.Ordinal)
        .SelectMany(type => MembersOf(type).Order(StringComparer.Ordinal)
            .Prepend($"{KindOf(type)} {NameOf(type, isFull: true)}"));

    private static string KindOf(Type type) => type.IsInterface ? "interface" : type.IsEnum ? "enum" : type.IsValueType ? "struct"
        : type.IsAssignableTo(typeof(Delegate)) ? "delegate" : type is { IsAbstract: true, IsSealed: true } ? "static class"
        : type.IsAbstract ? "abstract class" : type.IsSealed ? "sealed class" : "class";

    private static IEnumerable<string> MembersOf(Type type)
    {
        if (type.IsAssignableTo(typeof(Delegate)))
            return [Indented(SignatureOf(type.GetMethod("Invoke")!))];
        if (type.IsEnum)
            return type.GetFields(BindingFlags.Public | BindingFlags.Static)
                .Select(static field => Indented($"{field.Name} = {Convert.ToInt64(field.GetRawConstantValue(), null)}"));
        return type.GetMembers(Declared).Where(static member => !OfRecords.Contains(member.Name))
            .Select(static member => member switch
            {
                MethodInfo method when IsVisible(method)
                    && (!method.IsSpecialName || method.Name.StartsWith("op_", StringComparison.Ordinal)) => SignatureOf(method),
                ConstructorInfo constructor when IsVisible(constructor) => $"new({ParametersOf(constructor)})",
                PropertyInfo property when property.GetAccessors(true).Any(IsVisible) =>
                    $"{NameOf(property.PropertyType)} {property.Name} {{"
                    + $"{Accessor(property.GetMethod, "get")}{Accessor(property.SetMethod, "set")} }}",
                FieldInfo field when field.IsPublic || field.IsFamily => $"{NameOf(field.FieldType)} {field.Name}",
                EventInfo raised when IsVisible(raised.AddMethod!) => $"event {NameOf(raised.EventHandlerType!)} {raised.Name}",
                _ => null,
            }).OfType<string>().Select(Indented);
    }

    private static string Indented(string line) => "    " + line;

    private static string Accessor(MethodInfo? accessor, string name) => accessor is not null && IsVisible(accessor) ? $" {name};" : "";

    private static bool IsVisible(MethodBase method) => method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly;

    private static string SignatureOf(MethodInfo method) => $"{(method.IsStatic ? "static " : "")}{NameOf(method.ReturnType)} {method.Name}"
        + $"{ArgumentsOf(method.IsGenericMethod ? method.GetGenericArguments() : [])}({ParametersOf(method)})";

    private static string ParametersOf(MethodBase method) => string.Join(", ", method.GetParameters()
        .Select(static parameter => $"{NameOf(parameter.ParameterType)} {parameter.Name}{(parameter.HasDefaultValue ? " = ..." : "")}"));

    private static string ArgumentsOf(Type[] arguments) => arguments.Length == 0 ? ""
        : $"<{string.Join(", ", arguments.Select(static argument => NameOf(argument)))}>";

    private static string NameOf(Type type, bool isFull = false)
    {
        if (type.IsGenericParameter)
            return type.Name;
        if (type.IsByRef)
            return "ref " + NameOf(type.GetElementType()!);
        if (type.IsArray)
            return NameOf(type.GetElementType()!) + "[]";
        if (Nullable.GetUnderlyingType(type) is { } value)
            return NameOf(value) + "?";
        var name = type.Name.Split('`')[0];
        if (type.IsNested)
            name = $"{type.DeclaringType!.Name.Split('`')[0]}.{name}";
        return (isFull ? type.Namespace + "." : "") + name + ArgumentsOf(type.GetGenericArguments());
    }
}
