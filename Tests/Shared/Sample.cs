using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;

namespace OrleansMq.Tests.Shared;

/// <summary>Values of any record, made from its constructor and properties. Each field of a value has a value of its own, other than the
/// default.</summary>
public sealed class Sample
{
    private readonly bool _isWhole;
    private int _last;

    private Sample(bool isWhole) => _isWhole = isWhole;

    /// <summary>A value with every field.</summary>
    public static object Of(Type type) => new Sample(isWhole: true).Make(type);

    /// <summary>A value with the fields that it must have; the others have their defaults.</summary>
    public static object LeastOf(Type type) => new Sample(isWhole: false).Make(type);

    private object Make(Type type)
    {
        var number = ++_last;
        if (Nullable.GetUnderlyingType(type) is { } underlying)
            return Make(underlying);
        if (type == typeof(string))
            return string.Create(CultureInfo.InvariantCulture, $"s{number}");
        if (type == typeof(bool))
            return true;
        if (type == typeof(Guid))
            return new Guid(number, 0, 0, new byte[8]);
        if (type == typeof(TimeSpan))
            return TimeSpan.FromSeconds(number);
        if (type == typeof(DateTimeOffset))
            return DateTimeOffset.UnixEpoch.AddDays(number);
        if (type == typeof(ReadOnlyMemory<byte>))
            return new ReadOnlyMemory<byte>([(byte)number]);
        if (type.IsEnum)
            return Enum.GetValues(type).Cast<object>().First(value => Convert.ToInt64(value, CultureInfo.InvariantCulture) > 0);
        if (type.IsPrimitive)
            return Convert.ChangeType(number, type, CultureInfo.InvariantCulture);
        if (ElementOf(type) is { } element)
        {
            var array = Array.CreateInstance(element, 1);
            array.SetValue(Make(element), 0);
            return array;
        }
        return MakeRecord(type);
    }

    private object MakeRecord(Type type)
    {
        var constructor = type.GetConstructors().MaxBy(static constructor => constructor.GetParameters().Length)
            ?? throw new ArgumentException($"{type} has no public constructor.", nameof(type));
        var parameters = constructor.GetParameters();
        var value = constructor.Invoke([.. parameters.Select(parameter =>
            !_isWhole && parameter.HasDefaultValue ? parameter.DefaultValue : Make(parameter.ParameterType))]);
        foreach (var property in type.GetProperties())
        {
            var isOfConstructor = Array.Exists(parameters, parameter => parameter.Name == property.Name);
            if (property.SetMethod is not null && !isOfConstructor
                && (_isWhole || property.IsDefined(typeof(RequiredMemberAttribute))))
                property.SetValue(value, Make(property.PropertyType));
        }
        return value;
    }

    private static Type? ElementOf(Type type) => type.IsArray ? type.GetElementType()
        : type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IReadOnlyList<>) ? type.GenericTypeArguments[0] : null;
}
