//! The arguments of a raw method, by position or keyword.

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use shmzmq_core::error::Error;

use crate::errors::raise;

/// Arguments of a fast call by position or keyword, in the order of `names`.
pub struct Arguments<const N: usize> {
    values: [*mut ffi::PyObject; N],
}

impl<const N: usize> Arguments<N> {
    /// # Safety
    /// The arguments are those that the interpreter passed to a METH_FASTCALL|METH_KEYWORDS function.
    pub unsafe fn parse(
        py: Python<'_>,
        what: &str,
        names: [&str; N],
        args: *const *mut ffi::PyObject,
        count: ffi::Py_ssize_t,
        keywords: *mut ffi::PyObject,
    ) -> PyResult<Self> {
        let mut values = [std::ptr::null_mut(); N];
        let count = count as usize;
        if count > N {
            return Err(PyTypeError::new_err(format!(
                "{what}() takes at most {N} arguments ({count} given)"
            )));
        }
        for (index, value) in values.iter_mut().enumerate().take(count) {
            // SAFETY: `args` has `count` entries.
            *value = unsafe { *args.add(index) };
        }
        if !keywords.is_null() {
            // SAFETY: `keywords` is a tuple of str, by the calling convention.
            let keywords = unsafe { Bound::from_borrowed_ptr(py, keywords).cast_into_unchecked::<PyTuple>() };
            for (index, keyword) in keywords.iter().enumerate() {
                let keyword: String = keyword.extract()?;
                let place = names.iter().position(|name| *name == keyword).ok_or_else(|| {
                    PyTypeError::new_err(format!("{what}() got an unexpected keyword argument '{keyword}'"))
                })?;
                if !values[place].is_null() {
                    return Err(PyTypeError::new_err(format!(
                        "{what}() got multiple values for '{keyword}'"
                    )));
                }
                // SAFETY: keyword values follow the positional ones.
                values[place] = unsafe { *args.add(count + index) };
            }
        }
        Ok(Arguments { values })
    }

    pub fn required(&self, index: usize, what: &str, name: &str) -> PyResult<*mut ffi::PyObject> {
        if self.values[index].is_null() {
            return Err(PyTypeError::new_err(format!("{what}() missing required argument: '{name}'")));
        }
        Ok(self.values[index])
    }

    pub fn get<'py>(&self, py: Python<'py>, index: usize) -> Option<Bound<'py, PyAny>> {
        let value = self.values[index];
        // SAFETY: borrowed from the caller's arguments, alive during the call.
        (!value.is_null()).then(|| unsafe { Bound::from_borrowed_ptr(py, value) })
    }

    /// routing_id and group belong to draft socket types.
    pub fn refuse_drafts(&self, py: Python<'_>) -> PyResult<()> {
        for (index, name) in [(N - 2, "routing_id"), (N - 1, "group")] {
            if self.get(py, index).is_some_and(|value| !value.is_none()) {
                let error = Error::Invalid(format!("{name} belongs to draft socket types"));
                return Err(raise(py, &error));
            }
        }
        Ok(())
    }

    pub fn int(&self, py: Python<'_>, index: usize) -> PyResult<i64> {
        self.get(py, index).map_or(Ok(0), |value| value.extract())
    }

    pub fn truth(&self, py: Python<'_>, index: usize, default: bool) -> PyResult<bool> {
        self.get(py, index).map_or(Ok(default), |value| value.is_truthy())
    }
}
